// The history of the state: every change of a key, in the order of revisions, with what was there before. Watches are
// fed from it, and reads as of an older revision follow it back from the key's newest record (state_view.h).
//
// Table `history`, under the root: records of up to some 16 KiB, each of the changes of one block that follow one
// another, keyed by the first one's position (revision u64 big-endian | part u32 big-endian). Content:
//   hlc u64 | (revision u64 | part u32 | flags u8 | key u16+bytes | [new: created u64 | version u64 | lease u64 |
//              value u32+bytes] | [previous: revision u64 | part u32 | created u64 | version u64 | hlc u64 | lease u64
//              | value u32+bytes])*
//   flags 1: deleted, so there is no `new`; 2: there was a previous one (of version 0: a deletion that the history
//   knows of); 4: there was, but it was not kept; 8: its value is a record of its own, because it is large: under the
//   same key and a byte 1; then the change is the first one here
//
// What is before `StateMeta::compacted` is dropped record by record; a key's newest record holds its value, so a change
// is needed only for reads as of revisions before it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "kvstore/outcome.h"

namespace loyal::crypto {
class CanonicalReader;
class CanonicalWriter;
}  // namespace loyal::crypto

namespace loyal::kvstore {

// Where a change stands: the changes of a transaction share its revision and are parts 0, 1, 2, ...
struct ChangeId {
    Revision revision;
    std::uint32_t part = 0;
    friend auto operator<=>(const ChangeId&, const ChangeId&) = default;
};

// A version of a key, without its value.
struct KeyVersion {
    ChangeId id;
    Revision created;
    std::uint64_t version = 0;  // 0: the key was deleted by that change
    consensus::Hlc timestamp;
    LeaseId lease;
    friend bool operator==(const KeyVersion&, const KeyVersion&) = default;
};
// One that points to its value, in the overlay or in the transaction that it was read in.
struct KeyView : KeyVersion {
    ByteView value;
    [[nodiscard]] bool deleted() const { return version == 0; }
};
// One that holds it.
struct KeyRecord : KeyVersion {
    Bytes value;
    [[nodiscard]] KeyView view() const { return {static_cast<const KeyVersion&>(*this), value}; }
    friend bool operator==(const KeyRecord&, const KeyRecord&) = default;
};

// As records of the keys table and of the history hold it; a value follows in the one's form or the other's.
void write_version(crypto::CanonicalWriter& out, const KeyVersion& version);
[[nodiscard]] KeyVersion read_version(crypto::CanonicalReader& in);

struct Change {
    Bytes key;
    KeyRecord now;                      // version 0 when it was deleted
    std::optional<KeyRecord> previous;  // nothing: the key was absent, or what it was is not known
    bool previous_dropped = false;
    friend bool operator==(const Change&, const Change&) = default;
};
// A change that was read where it is stored; views live as long as the record.
struct ChangeView {
    ByteView key;
    KeyView now;
    std::optional<KeyView> previous;
    bool previous_dropped = false;
    bool previous_apart = false;  // its value is not here
};
[[nodiscard]] Change to_change(const ChangeView& view);

[[nodiscard]] Bytes history_key(const ChangeId& first);
[[nodiscard]] Bytes previous_value_key(const ChangeId& first);
// Of either; `apart` says that it is the key of a previous value.
struct HistoryKey {
    ChangeId first;
    bool apart = false;
};
[[nodiscard]] Result<HistoryKey> parse_history_key(ByteView key);
[[nodiscard]] Bytes encode_history_head(consensus::Hlc timestamp);
void append_change(Bytes& content, const ChangeView& change);
// Errc::corrupted for what is malformed.
[[nodiscard]] Result<consensus::Hlc> decode_history_time(ByteView content);
[[nodiscard]] Result<std::vector<ChangeView>> decode_history(ByteView content);

// What a watch asks for: the changes behind `after` of the keys in [begin, end), or of the key `begin`.
struct ChangeQuery {
    ChangeId after;
    Bytes begin;
    std::optional<Bytes> end;  // as in Range
    std::size_t changes_max = 1000;
    std::size_t bytes_max = 1U << 20;  // of keys and values, unless a single change has more
    std::size_t records_max = 256;     // of the history to look through
};
struct ChangePage {
    std::vector<Change> changes;        // in order
    ChangeId upto;                      // nothing of the query stands between `after` and here but these
    bool more = false;                  // there may be more behind `upto`; otherwise it is the state's newest change
    std::optional<Revision> compacted;  // instead of changes: `after` is before this, the oldest revision that is kept
};

}  // namespace loyal::kvstore
