// Overlay: what was executed but is not in the `kv` store yet (docs/ARCHITECTURE.md). Two generations: the active one,
// which the executor changes, and at most one frozen one, which never changes again and which another thread writes to
// the store in one transaction. A generation is frozen between blocks only, so that what is written is complete for the
// height that its meta record names.
//
// Threads: the executor's, except that `frozen()`'s content may be read by the writing thread.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>

#include "config/bytes.h"
#include "kvstore/kv_tables.h"
#include "kvstore/sessions.h"

namespace loyal::kvstore {

struct BytesLess {
    using is_transparent = void;
    bool operator()(ByteView a, ByteView b) const noexcept {
        return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    }
};

// Contents of the records of a table; absent ones mark what was deleted.
using Contents = std::map<Bytes, std::optional<Bytes>, BytesLess>;

struct Generation {
    std::array<Contents, rooted_tables.size()> tables;  // without sessions and meta, which have their own form
    std::map<SessionKey, std::optional<Session>> sessions;
    StateMeta meta;         // set when frozen
    std::size_t bytes = 0;  // estimate of what it occupies

    [[nodiscard]] const Contents& table(StateTable id) const { return tables[static_cast<std::size_t>(id) - 1]; }
    [[nodiscard]] Contents& table(StateTable id) { return tables[static_cast<std::size_t>(id) - 1]; }
};

class Overlay {
 public:
    [[nodiscard]] const Generation& active() const { return active_; }
    [[nodiscard]] const Generation* frozen() const { return frozen_.get(); }
    [[nodiscard]] std::size_t bytes() const { return active_.bytes + (frozen_ ? frozen_->bytes : 0); }

    // ---- Changes of the active generation
    void put(StateTable table, ByteView key, Bytes content);
    void erase(StateTable table, ByteView key);
    // Null when it is not in the active generation.
    [[nodiscard]] Session* active_session(const SessionKey& key);
    Session& put_session(const SessionKey& key, Session session);
    void erase_session(const SessionKey& key);
    // An active session now holds `after` operations instead of `before`.
    void count_session_change(std::size_t before, std::size_t after);

    // Nothing may be frozen (asserted).
    void freeze(StateMeta meta);
    void drop_frozen();

 private:
    Generation active_;
    std::unique_ptr<const Generation> frozen_;
};

}  // namespace loyal::kvstore
