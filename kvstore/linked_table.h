// Linked tables: every record says which key stands before it in its table, so that nothing can go missing unseen. LMDB
// checks nothing of its own: a bit that flips in one of its inner pages hides whole ranges of keys. Here a negative
// answer is proved, as NSEC records prove one for names (RFC 4034 §4): the first record above the key links to the last
// one below it. A walk checks the links all along. (PROTOCOL.md A6; docs/STORAGE.md.)
//
//   record    link 16 | content | seal        sealed over table, key, link and content (crypto/seal.h)
//   link      first 16 bytes of H("link", key before it in the table); zeros for the table's first record
//   end       a record without content under a key that is above every other: 500 bytes ff, longer than any key may be
//
// The content is what is under the state's root (state_digest.h); links and seals are local. A table that has not even
// an end is one in which nothing was ever written; then there is no meta record either, or the table was lost.
//
// Cost: overwriting changes one record; inserting and erasing also re-seal the next one. A hit checks one seal, a miss
// looks at two neighbours. Threads and lifetime of views: as the transaction's. Errors: Errc::corrupted names table and
// key; those of the store.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "config/bytes.h"
#include "config/result.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

inline constexpr std::size_t link_bytes = 16;
using Link = std::array<std::uint8_t, link_bytes>;

struct LinkedEntry {
    ByteView key;
    Link link{};
    ByteView content;
};

// Above every key of a table.
[[nodiscard]] ByteView end_key();
// Of the record that follows `before`; of a table's first one when there is none.
[[nodiscard]] Link link_to(const std::optional<RawEntry>& before);

class LinkedTable {
 public:
    constexpr LinkedTable(TableIndex index, std::string_view name) : index_(index), name_(name) {}

    // Makes the end, which a table needs before its first record. Nothing happens when it is there.
    [[nodiscard]] Result<void> create(WriteTxn& txn) const;

    // Content of `key`; absence is proved.
    [[nodiscard]] Result<std::optional<ByteView>> find(const ReadTxn& txn, ByteView key) const;
    [[nodiscard]] Result<void> put(WriteTxn& txn, ByteView key, ByteView content) const;
    // Absent keys are no error.
    [[nodiscard]] Result<void> erase(WriteTxn& txn, ByteView key) const;

    // ---- Parts of put and erase, for who has looked at the record already
    // The record of `key`; an absent one is not proved to be absent.
    [[nodiscard]] Result<std::optional<LinkedEntry>> get(const ReadTxn& txn, ByteView key) const;
    [[nodiscard]] Result<void> prove_absent(const ReadTxn& txn, ByteView key) const;
    // `key` is there, with that link.
    [[nodiscard]] Result<void> overwrite(WriteTxn& txn, ByteView key, const Link& link, ByteView content) const;
    [[nodiscard]] Result<void> remove(WriteTxn& txn, ByteView key, const Link& link) const;
    // `key` is not there, which is proved.
    [[nodiscard]] Result<void> insert(WriteTxn& txn, ByteView key, ByteView content) const;

    // The record as it is stored.
    [[nodiscard]] Bytes sealed(ByteView key, const Link& link, ByteView content) const;
    [[nodiscard]] TableIndex index() const { return index_; }
    [[nodiscard]] std::string_view name() const { return name_; }
    [[nodiscard]] Result<LinkedEntry> open(const RawEntry& entry) const;
    [[nodiscard]] tl::unexpected<Error> damaged(ByteView key, const char* what) const;
    // A table without any record: right only if nothing was ever written to the state.
    [[nodiscard]] Result<void> expect_untouched(const ReadTxn& txn, ByteView key) const;

 private:
    [[nodiscard]] Result<void> write(WriteTxn& txn, ByteView key, const Link& link, ByteView content) const;
    // The first record above `key`, which is absent; nothing in a table without any record.
    [[nodiscard]] Result<std::optional<LinkedEntry>> above(const ReadTxn& txn, ByteView key) const;

    TableIndex index_;
    std::string_view name_;
};

// Gives the records of a table that is written in the order of its keys, and its end as the last one: nothing has to be
// sealed again. Who stores them (WriteTxn::append) may do that later.
class LinkedAppender {
 public:
    explicit LinkedAppender(const LinkedTable& table) : table_(table) {}

    // Goes on behind what is stored, which was written in this way.
    [[nodiscard]] Result<void> start(const ReadTxn& txn);
    [[nodiscard]] const LinkedTable& table() const { return table_; }
    [[nodiscard]] const Bytes& last() const { return last_; }  // empty: none yet
    [[nodiscard]] bool ended() const { return ended_; }
    // `key` is above the last one (asserted).
    [[nodiscard]] Bytes next(ByteView key, ByteView content);
    [[nodiscard]] Bytes end();

 private:
    const LinkedTable& table_;
    Bytes last_;
    bool ended_ = false;
};

// Walks a table in order or in reverse; every step is checked against the one before, so what it passes is all there
// is. `table` and `txn` outlive it; views in `entry` live as long as the transaction.
class LinkedCursor {
 public:
    LinkedCursor(const LinkedTable& table, const ReadTxn& txn, bool reverse = false)
        : table_(table), txn_(txn), reverse_(reverse) {}

    // Forward: to the first key >= `from`. In reverse: to the last key < `from`, or the table's last when it is empty.
    [[nodiscard]] Result<void> start(ByteView from);
    [[nodiscard]] Result<void> advance();  // `entry` is there (asserted)
    // Nothing at the end (in reverse: before the beginning).
    [[nodiscard]] const std::optional<LinkedEntry>& entry() const { return entry_; }

 private:
    [[nodiscard]] Result<void> start_forward(ByteView from);
    [[nodiscard]] Result<void> start_reverse(ByteView from);
    [[nodiscard]] Result<void> step_back(ByteView below, const Link& link);
    [[nodiscard]] Result<void> arrive(const RawEntry& next, const Link& expected);

    const LinkedTable& table_;
    const ReadTxn& txn_;
    bool reverse_;
    std::optional<LinkedEntry> entry_;
};

}  // namespace loyal::kvstore
