// Appending to the consensus log: one synced transaction for a group of Persists (rule N8).
#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "kvstore/durable_log.h"

namespace loyal::kvstore {

// A block that is damaged here comes back into the place of its record.
Result<void> DurableLog::write_block(WriteTxn& txn, const consensus::BlockRecord& record, Draft& draft) const {
    const auto hole = hole_of(record.block->id);
    {
        const std::shared_lock guard(mutex_);
        const BlockEntry* entry = index_.block(record.block->id);
        const bool committed = index_.committed_id(record.block->header.height) == record.block->id;
        draft.repairs.blocks += hole || (committed && (entry == nullptr || entry->damaged)) ? 1U : 0U;
    }
    const LogSequence at = hole && *hole >= draft.first ? *hole : draft.next;
    const Bytes key = sequence_key(at);
    const Bytes sealed = seal_record(key, record);
    draft.changes.push_back(change_of(context_, record, at));
    if (at != draft.next) {
        draft.mended.push_back(at);
        return txn.put(records_table, key, sealed);
    }
    return txn.append(records_table, key, sealed).map([&] { ++draft.next; });
}

Result<void> DurableLog::write_record(WriteTxn& txn, const consensus::LogRecord& record, Draft& draft) const {
    return std::visit(
        [&](const auto& typed) -> Result<void> {
            if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, consensus::VotingState>) {
                draft.voting = typed;
                return {};
            } else if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, consensus::BlockRecord>) {
                return write_block(txn, typed, draft);
            } else {
                if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, consensus::InstalledRecord>) {
                    const std::shared_lock guard(mutex_);
                    const consensus::BlockRef block{typed.block.height, consensus::header_id(context_, typed.block)};
                    draft.base = index_.base_with(block);
                } else if constexpr (!std::is_same_v<std::decay_t<decltype(typed)>, consensus::CommitRecord> &&
                                     !std::is_same_v<std::decay_t<decltype(typed)>, consensus::EvidenceRecord>) {
                    draft.supports.emplace_back(draft.next, record);
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

DurableLog::Draft DurableLog::new_draft() const {
    Draft draft;
    draft.next = next_;
    draft.first = first_;
    draft.voting = voting_;
    const std::shared_lock guard(mutex_);
    draft.base = index_.base();
    draft.truncation = truncation_;
    return draft;
}

// Only beside lost votes: a log that is short because it is young has its blocks, or they come with the next commit.
Result<void> DurableLog::begin_above(const consensus::BlockRef& executed) {
    {
        const std::shared_lock guard(mutex_);
        const bool made_anew = voting_ && voting_->amnesiac && index_.committed().height <= index_.base().height;
        if (!made_anew || executed.height <= index_.base().height || index_.block(executed.id) != nullptr) {
            return {};
        }
    }
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    Draft draft = new_draft();
    draft.base = executed;
    draft.changes.emplace_back([executed](LogIndex& index) -> Result<void> {
        index.raise_base(executed);
        return {};
    });
    return write_mark(**begun, draft).and_then([&] { return finish(**begun, draft); });
}

Result<void> DurableLog::append(const std::vector<consensus::Persist>& group) {
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    Draft draft = new_draft();
    for (const consensus::Persist& persist : group) {
        for (const consensus::LogRecord& record : persist.records) {
            if (auto written = write_record(txn, record, draft); !written) {
                return written;
            }
        }
    }
    if (auto mended = mend(txn, draft); !mended) {
        return mended;
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
    const std::unique_lock guard(mutex_);
    for (const IndexChange& change : draft.changes) {
        const auto changed = change(index_);
        LOYAL_ASSERT(changed.has_value(), "the core commits one chain");
    }
    if (voting_) {
        index_.forget_below(*voting_);
    }
    for (auto& [sequence, record] : draft.supports) {
        supports_.insert_or_assign(sequence, std::move(record));
    }
    std::erase_if(supports_, [&](const auto& one) { return voting_ && !leans_on(*voting_, one.first); });
    truncation_ = draft.truncation;
    truncating_.store(first_ < truncation_.cut || releasable() > truncation_.released, std::memory_order_release);
    for (const LogSequence mended : draft.mended) {
        holes_.erase(mended);
    }
    mending_.store(std::any_of(holes_.begin(), holes_.end(),
                               [&](const auto& hole) { return can_mend(hole.first, hole.second, voting_); }),
                   std::memory_order_release);
    repairs_.blocks += draft.repairs.blocks;
    repairs_.records += draft.repairs.records;
    return {};
}

}  // namespace loyal::kvstore
