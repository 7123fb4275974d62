// The tables of the `kv` environment and their sealed records (docs/STORAGE.md). Pure; decoders verify the seal, so a
// record that rotted is Errc::corrupted and never served.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "crypto/digest.h"
#include "kvstore/operation.h"
#include "kvstore/sessions.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

inline constexpr TableIndex keys_table = 0;
inline constexpr TableIndex sessions_table = 1;
inline constexpr TableIndex meta_table = 2;
inline constexpr std::string_view keys_table_name = "keys";
inline constexpr std::string_view sessions_table_name = "sessions";
inline constexpr std::string_view meta_table_name = "meta";

// What the store knows of a key. `value` points into the overlay or the transaction that it was read in.
struct KeyView {
    Revision revision;
    Revision created;
    std::uint64_t version = 0;
    consensus::Hlc timestamp;
    ByteView value;
};
struct KeyRecord {
    Revision revision;
    Revision created;
    std::uint64_t version = 0;
    consensus::Hlc timestamp;
    Bytes value;
    [[nodiscard]] KeyView view() const { return {revision, created, version, timestamp, value}; }
};
[[nodiscard]] Bytes seal_key_record(ByteView key, const KeyRecord& record);
[[nodiscard]] Result<KeyView> open_key_record(ByteView key, ByteView sealed);

[[nodiscard]] Bytes seal_session_record(const SessionKey& key, const Session& session);
[[nodiscard]] Result<Session> open_session_record(ByteView key, ByteView sealed);

// The one record that says how far the other tables are complete; written in every batch.
struct StateMeta {
    consensus::Height height;
    crypto::Digest block;  // id of the block of that height; zero at height 0
    consensus::Hlc hlc;
    Revision revision;
    // Execution digests of the last heights, ascending, the last one of `height`.
    std::vector<std::pair<consensus::Height, crypto::Digest>> digests;
};
inline constexpr std::uint16_t state_format = 1;
inline constexpr std::string_view meta_key = "state";
[[nodiscard]] Bytes seal_meta_record(const StateMeta& meta);
[[nodiscard]] Result<StateMeta> open_meta_record(ByteView sealed);

}  // namespace loyal::kvstore
