// KeyReader: what the state says of keys, now and as of older revisions: single keys, pages of ranges, counts,
// histories and the changes that watches ask for (MVCC; Reed, "Naming and Synchronization in a Decentralized Computer
// System", 1978). A read as of a revision begins at the key's newest record and follows the history back, change by
// change, to what the key was then.
//
// Answers that the caller is to be told, such as Status::compacted, are part of the result; errors are the store's.
// One thread; for one block or one read, as the view.
#pragma once

#include <optional>

#include "kvstore/history.h"
#include "kvstore/operation.h"
#include "kvstore/state_view.h"

namespace loyal::kvstore {

class KeyReader {
 public:
    // Both outlive the reader. `meta` is of the state that `view` shows.
    KeyReader(StateView& view, const StateMeta& meta) : view_(view), meta_(meta) {}

    // What is there now; the view in the answer lives until that key changes or the state's view ends.
    [[nodiscard]] Result<std::optional<KeyView>> find(ByteView key);
    // The same, but a deleted key's last record is one, too.
    [[nodiscard]] Result<std::optional<KeyView>> record(ByteView key);
    // Live keys of begin <= key < end (an empty `end`: no bound); `visit` says whether to go on.
    using Visitor = std::function<bool(ByteView key, const KeyView& view)>;
    [[nodiscard]] Result<void> walk(ByteView begin, ByteView end, bool reverse, const Visitor& visit);

    struct Answer {
        Status status = Status::ok;
        RangeResult range;  // with Status::ok
    };
    // One page (limits::range_items_max, range_count_max) of at most `bytes_max` bytes; a first item of any size when
    // `first_fits`.
    [[nodiscard]] Result<Answer> range(const Range& range, std::size_t bytes_max, bool first_fits = true);
    // What would refuse it: ok, compacted or future_revision.
    [[nodiscard]] Status check(const Range& range) const;
    // Of a revision from `compacted` on.
    [[nodiscard]] Result<consensus::Hlc> time_of(Revision revision);
    [[nodiscard]] Result<ChangePage> changes(const ChangeQuery& query);

    // The change that made this version. It is in the history (Errc::corrupted).
    [[nodiscard]] Result<ChangeView> change(const ChangeId& id);

 private:
    struct Page;
    // What the key was at `at`, given its newest record; nothing when it was absent.
    [[nodiscard]] Result<std::optional<KeyView>> version_at(const KeyView& newest, Revision at);
    [[nodiscard]] Result<std::optional<KeyView>> previous_of(const KeyView& view);
    // Nothing: now.
    [[nodiscard]] Result<std::optional<Revision>> revision_of(const Range& range);
    [[nodiscard]] Result<Revision> revision_at(consensus::Hlc time);
    // The last record of the history that begins at `id` or before.
    struct HistoryRecord {
        ChangeId first;
        Bytes content;
    };
    [[nodiscard]] Result<std::optional<HistoryRecord>> history_record(const ChangeId& id);
    [[nodiscard]] Result<void> fill_previous(ChangeView& change);

    [[nodiscard]] Result<void> single(const Range& range, std::optional<Revision> at, Page& page);
    [[nodiscard]] Result<void> history(const Range& range, Page& page);
    [[nodiscard]] Result<void> walk_at(const Range& range, std::optional<Revision> at, const Visitor& visit);

    StateView& view_;
    const StateMeta& meta_;
    // The record of the history that was looked at last, and what it holds: neighbours are asked for one after another.
    std::optional<HistoryRecord> cached_;
    std::vector<ChangeView> cached_changes_;
};

}  // namespace loyal::kvstore
