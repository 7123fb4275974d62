// Appending to the consensus log: one synced transaction for a group of Persists (rule N8).
#include <utility>

#include "config/assert.h"
#include "kvstore/durable_log.h"

namespace loyal::kvstore {

Result<void> DurableLog::write_record(WriteTxn& txn, const consensus::LogRecord& record, Draft& draft) const {
    return std::visit(
        [&](const auto& typed) -> Result<void> {
            if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, consensus::VotingState>) {
                draft.voting = typed;
                return {};
            } else {
                if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, consensus::InstalledRecord>) {
                    const std::shared_lock guard(mutex_);
                    const consensus::BlockRef block{typed.block.height, consensus::header_id(context_, typed.block)};
                    draft.base = index_.base_with(block);
                }
                const Bytes key = sequence_key(draft.next);
                draft.changes.push_back(change_of(context_, record, draft.next));
                return txn.append(records_table, key, seal_record(key, typed)).map([&] { ++draft.next; });
            }
        },
        record);
}

Result<void> DurableLog::write_mark(WriteTxn& txn, Draft& draft) const {
    const Bytes key = sequence_key(draft.next);
    return txn.append(records_table, key, seal_mark(key)).map([&] { ++draft.next; });
}

Result<void> DurableLog::append(const std::vector<consensus::Persist>& group) {
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    Draft draft;
    draft.next = next_;
    draft.first = first_;
    draft.voting = voting_;
    {
        const std::shared_lock guard(mutex_);
        draft.base = index_.base();
    }
    for (const consensus::Persist& persist : group) {
        for (const consensus::LogRecord& record : persist.records) {
            if (auto written = write_record(txn, record, draft); !written) {
                return written;
            }
        }
    }
    plan_truncation(draft);
    if (auto truncated = truncate(txn, draft); !truncated) {
        return truncated;
    }
    if (draft.next == next_) {
        // Every transaction moves the last record's number, or a lost write of a voting state would go unnoticed.
        if (auto written = write_mark(txn, draft); !written) {
            return written;
        }
    }
    return finish(txn, draft);
}

Result<void> DurableLog::finish(WriteTxn& txn, Draft& draft) {
    const VoteCopy copy{draft.next - 1, draft.first, draft.base, draft.voting};
    auto written = txn.put(vote_a_table, view_of(vote_key), seal_vote_copy(vote_a_table_name, copy)).and_then([&] {
        return txn.put(vote_b_table, view_of(vote_key), seal_vote_copy(vote_b_table_name, copy));
    });
    if (!written) {
        return written;
    }
    const std::lock_guard committing(commit_mutex_);
    if (auto committed = txn.commit(Durability::synced); !committed) {
        return committed;
    }
    voting_ = draft.voting;
    next_ = draft.next;
    first_ = draft.first;
    fresh_ = false;
    truncating_.store(first_ < cut_ || released_.load() > released_seen_.load(), std::memory_order_release);
    const std::unique_lock guard(mutex_);
    for (const IndexChange& change : draft.changes) {
        const auto changed = change(index_);
        LOYAL_ASSERT(changed.has_value(), "the core commits one chain");
    }
    if (voting_) {
        index_.forget_below(*voting_);
    }
    return {};
}

}  // namespace loyal::kvstore
