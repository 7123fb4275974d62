#include "kvstore/sessions.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

using consensus::Hlc;
using consensus::Seq;

constexpr std::uint64_t horizon_packed = limits::session_horizon_ms << 16U;

// later > earlier + E, without overflow.
bool over_horizon(Hlc earlier, Hlc later) {
    return later.packed > earlier.packed && later.packed - earlier.packed > horizon_packed;
}

// Operations of one block share its height, view and hlc, so these are stored once.
struct Origin {
    std::uint64_t height = 0;
    std::uint64_t view = 0;
    std::uint64_t hlc = 0;
    friend auto operator<=>(const Origin&, const Origin&) = default;
};
Origin origin_of(const ExecutedOperation& executed) {
    return {executed.height.value, executed.view.value, executed.hlc.packed};
}

constexpr std::uint8_t kind_stored = 0;
constexpr std::uint8_t kind_repeatable = 1;

tl::unexpected<Error> malformed() {
    return fail(Errc::corrupted, "malformed session record");
}

Result<ExecutedOperation> read_executed(crypto::CanonicalReader& in, const std::vector<Origin>& origins) {
    ExecutedOperation executed;
    const auto kind = in.number<std::uint8_t>();
    if (kind == kind_repeatable) {
        executed.repeatable = true;
        return executed;
    }
    const auto origin = in.number<std::uint16_t>();
    if (kind != kind_stored || origin >= origins.size()) {
        return malformed();
    }
    executed.height = consensus::Height(origins[origin].height);
    executed.view = consensus::View(origins[origin].view);
    executed.hlc = Hlc(origins[origin].hlc);
    executed.revision = Revision(in.number<std::uint64_t>());
    const auto status = in.number<std::uint8_t>();
    if (!is_status(status)) {
        return malformed();
    }
    executed.status = static_cast<Status>(status);
    const ByteView result = in.sized(limits::result_inline_bytes_max);
    executed.result.assign(result.begin(), result.end());
    return executed;
}

}  // namespace

const ExecutedOperation* Session::find(Seq seq) const {
    const auto found = executed_.find(seq.value);
    return found == executed_.end() ? nullptr : &found->second;
}

Outcome Session::outcome_of(Seq seq, const ExecutedOperation& executed) {
    LOYAL_ASSERT(!executed.repeatable, "nothing is stored of a repeatable operation");
    return {seq, executed.height, executed.view, executed.hlc, executed.revision, executed.status, executed.result};
}

void Session::acknowledge(Seq ack_low) {
    if (ack_low <= low_) {
        return;
    }
    low_ = ack_low;
    executed_.erase(executed_.begin(), executed_.lower_bound(ack_low.value));
}

void Session::record(const Outcome& outcome, bool repeatable) {
    LOYAL_ASSERT(outcome.seq >= low_ && !beyond_window(low_, outcome.seq), "an operation outside the session's window");
    LOYAL_ASSERT(repeatable || outcome.result.size() <= limits::result_inline_bytes_max,
                 "only small results are stored");
    ExecutedOperation executed;
    executed.repeatable = repeatable;
    if (!repeatable) {
        executed = {false, outcome.height, outcome.view, outcome.hlc, outcome.revision, outcome.status, outcome.result};
    }
    executed_.insert_or_assign(outcome.seq.value, std::move(executed));
    last_executed_ = std::max(last_executed_, outcome.hlc);
}

Bytes encode_session(const Session& session) {
    std::vector<Origin> origins;
    for (const auto& [seq, executed] : session.executed_) {
        if (!executed.repeatable) {
            origins.push_back(origin_of(executed));
        }
    }
    std::sort(origins.begin(), origins.end());
    origins.erase(std::unique(origins.begin(), origins.end()), origins.end());

    crypto::CanonicalWriter out(64 + origins.size() * 24 + session.executed_.size() * 18);
    out.number(session.low_.value).number(session.last_executed_.packed);
    out.number(static_cast<std::uint16_t>(origins.size()));
    for (const Origin& origin : origins) {
        out.number(origin.height).number(origin.view).number(origin.hlc);
    }
    out.number(static_cast<std::uint16_t>(session.executed_.size()));
    for (const auto& [seq, executed] : session.executed_) {
        out.number(static_cast<std::uint16_t>(seq - session.low_.value));
        out.number(executed.repeatable ? kind_repeatable : kind_stored);
        if (executed.repeatable) {
            continue;
        }
        const auto origin = std::lower_bound(origins.begin(), origins.end(), origin_of(executed));
        out.number(static_cast<std::uint16_t>(origin - origins.begin())).number(executed.revision.value);
        out.number(static_cast<std::uint8_t>(executed.status)).sized(executed.result);
    }
    return out.take();
}

Result<Session> decode_session(ByteView content) {
    crypto::CanonicalReader in(content);
    Session session;
    session.low_ = Seq(in.number<std::uint64_t>());
    session.last_executed_ = Hlc(in.number<std::uint64_t>());
    const auto origin_count = in.number<std::uint16_t>();
    if (origin_count > limits::session_window) {
        return malformed();
    }
    std::vector<Origin> origins(origin_count);
    for (Origin& origin : origins) {
        origin.height = in.number<std::uint64_t>();
        origin.view = in.number<std::uint64_t>();
        origin.hlc = in.number<std::uint64_t>();
    }
    const auto count = in.number<std::uint16_t>();
    if (!in.ok() || count > limits::session_window) {
        return malformed();
    }
    for (std::uint16_t i = 0; i < count; ++i) {
        const auto offset = in.number<std::uint16_t>();
        auto executed = read_executed(in, origins);
        const std::uint64_t seq = session.low_.value + offset;
        const bool ascends = session.executed_.empty() || session.executed_.rbegin()->first < seq;
        if (!executed || !in.ok() || offset >= limits::session_window || !ascends) {
            return malformed();
        }
        session.executed_.emplace_hint(session.executed_.end(), seq, std::move(*executed));
    }
    if (!in.finish()) {
        return malformed();
    }
    return session;
}

Bytes encode_session_key(const SessionKey& key) {
    crypto::CanonicalWriter out(24);
    out.raw(key.client.bytes).number(key.session.value);
    return out.take();
}

Result<SessionKey> decode_session_key(ByteView bytes) {
    crypto::CanonicalReader in(bytes);
    SessionKey key;
    const ByteView client = in.raw(key.client.bytes.size());
    key.session = consensus::SessionId(in.number<std::uint64_t>());
    if (!in.finish()) {
        return fail(Errc::corrupted, "malformed key in the sessions table");
    }
    std::memcpy(key.client.bytes.data(), client.data(), client.size());
    return key;
}

bool beyond_window(Seq low, Seq seq) {
    return seq.value - low.value >= limits::session_window;
}

bool beyond_horizon(Hlc not_after, Hlc now) {
    return over_horizon(now, not_after);
}

bool SessionDirectory::has_room(const consensus::ClientId& client) const {
    const auto found = clients_.find(client);
    return found == clients_.end() || found->second.sessions.size() < bounds_.sessions_per_client_max;
}

bool SessionDirectory::may_remember(const consensus::ClientId& client) const {
    const auto found = clients_.find(client);
    return found == clients_.end() || found->second.operations < bounds_.operations_per_client_max;
}

std::optional<SessionKey> SessionDirectory::evictable(const consensus::ClientId& client, Hlc now) const {
    const auto found = clients_.find(client);
    if (found == clients_.end() || found->second.by_age.empty()) {
        return std::nullopt;
    }
    const auto& [last_executed, session] = *found->second.by_age.begin();
    return over_horizon(last_executed, now) ? std::optional(SessionKey{client, session}) : std::nullopt;
}

void SessionDirectory::touch(const SessionKey& key, Hlc last_executed, std::size_t operations) {
    Client& client = clients_[key.client];
    Entry& entry = client.sessions[key.session];
    client.by_age.erase({entry.last_executed, key.session});
    client.by_age.emplace(last_executed, key.session);
    client.operations += operations - entry.operations;  // unsigned: wraps back when it shrinks
    entry = {last_executed, operations};
}

void SessionDirectory::remove(const SessionKey& key) {
    const auto found = clients_.find(key.client);
    if (found == clients_.end()) {
        return;
    }
    Client& client = found->second;
    const auto session = client.sessions.find(key.session);
    if (session == client.sessions.end()) {
        return;
    }
    client.by_age.erase({session->second.last_executed, key.session});
    client.operations -= session->second.operations;
    client.sessions.erase(session);
}

}  // namespace loyal::kvstore
