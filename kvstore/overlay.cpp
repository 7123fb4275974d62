#include "kvstore/overlay.h"

#include <utility>

#include "config/assert.h"

namespace loyal::kvstore {

namespace {

// What a map node and its record take besides key and value.
constexpr std::size_t node_bytes = 160;
constexpr std::size_t session_node_bytes = 160;
constexpr std::size_t session_operation_bytes = 120;

}  // namespace

void Overlay::put(StateTable table, ByteView key, Bytes content) {
    Contents& contents = active_.table(table);
    const auto found = contents.find(key);
    active_.bytes += content.size();
    if (found == contents.end()) {
        active_.bytes += node_bytes + key.size();
        contents.emplace(Bytes(key.begin(), key.end()), std::move(content));
        return;
    }
    if (found->second) {
        active_.bytes -= found->second->size();
    }
    found->second = std::move(content);
}

void Overlay::erase(StateTable table, ByteView key) {
    Contents& contents = active_.table(table);
    const auto found = contents.find(key);
    if (found == contents.end()) {
        active_.bytes += node_bytes + key.size();
        contents.emplace(Bytes(key.begin(), key.end()), std::nullopt);
        return;
    }
    if (found->second) {
        active_.bytes -= found->second->size();
        found->second.reset();
    }
}

Session* Overlay::active_session(const SessionKey& key) {
    const auto found = active_.sessions.find(key);
    return found == active_.sessions.end() || !found->second ? nullptr : &*found->second;
}

Session& Overlay::put_session(const SessionKey& key, Session session) {
    active_.bytes += session_node_bytes + session.size() * session_operation_bytes;
    const auto put = active_.sessions.insert_or_assign(key, std::optional<Session>(std::move(session)));
    return *put.first->second;
}

void Overlay::erase_session(const SessionKey& key) {
    active_.bytes += session_node_bytes;
    active_.sessions.insert_or_assign(key, std::nullopt);
}

void Overlay::count_session_change(std::size_t before, std::size_t after) {
    active_.bytes += after * session_operation_bytes;
    active_.bytes -= std::min(active_.bytes, before * session_operation_bytes);
}

void Overlay::freeze(StateMeta meta) {
    LOYAL_ASSERT(frozen_ == nullptr, "one generation is written at a time");
    auto frozen = std::make_unique<Generation>(std::exchange(active_, Generation{}));
    frozen->meta = std::move(meta);
    frozen_ = std::move(frozen);
}

void Overlay::drop_frozen() {
    LOYAL_ASSERT(frozen_ != nullptr, "there is a frozen generation to drop");
    frozen_.reset();
}

}  // namespace loyal::kvstore
