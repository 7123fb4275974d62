// Forgetting what lies below a stable checkpoint (S5): a bounded number of the oldest records with every append, in the
// append's own transaction, so that a crash finds the log before such a step or after it. What the voting state still
// leans on, and evidence, is written again at the end of the log first.
#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "kvstore/durable_log.h"

namespace loyal::kvstore {

namespace {

using consensus::Height;

constexpr std::size_t truncated_at_once = 64;
// Headers, certificates and executed digests reach so far back from a block (docs/STORAGE.md).
constexpr std::uint64_t kept_below_checkpoint = 2 * limits::window_max + 2;
constexpr std::size_t block_id_bytes = 32;

}  // namespace

void DurableLog::release_below(Height height) {
    std::uint64_t before = released_.load();
    while (before < height.value && !released_.compare_exchange_weak(before, height.value)) {
    }
    const std::shared_lock guard(mutex_);
    if (releasable() > truncation_.released) {
        truncating_.store(true, std::memory_order_release);
    }
}

// What is given up, as far as this log knows it to be committed: the state may be ahead of the commit records.
Height DurableLog::releasable() const {
    return std::min(Height(released_.load()), index_.committed().height);
}

// Only records of earlier transactions are looked at: what is written again at the end is not met again in this round.
void DurableLog::plan_truncation(Draft& draft) {
    const std::shared_lock guard(mutex_);
    Truncation& plan = draft.truncation;
    const Height released = releasable();
    if (released <= plan.released) {
        return;
    }
    plan.released = released;
    const Height floor = released.minus(kept_below_checkpoint);
    if (floor <= plan.floor) {
        return;
    }
    plan.floor = floor;
    plan.cut = next_;
    if (floor > draft.base.height) {
        draft.base = {floor, index_.committed_id(floor)};
        draft.changes.emplace_back([base = draft.base](LogIndex& index) -> Result<void> {
            index.raise_base(base);
            return {};
        });
    }
}

Result<void> DurableLog::truncate(WriteTxn& txn, Draft& draft) {
    for (std::size_t i = 0; i < truncated_at_once && draft.first < draft.truncation.cut; ++i) {
        const auto entry = txn.seek(records_table, sequence_key(draft.first));
        if (!entry) {
            return tl::unexpected(entry.error());
        }
        const auto sequence = *entry ? decode_sequence_key((*entry)->key) : Result<LogSequence>(draft.truncation.cut);
        if (!sequence || *sequence >= draft.truncation.cut) {
            draft.first = draft.truncation.cut;
            break;
        }
        draft.first = *sequence;
        std::optional<consensus::LogRecord> moving;
        const Fate fate = fate_of(*sequence, (*entry)->value, draft, moving);
        if (fate == Fate::stays) {
            draft.truncation.cut = *sequence;  // in its time, with a higher checkpoint
            break;
        }
        if (moving) {
            if (auto moved = write_record(txn, *moving, draft); !moved) {
                return moved;
            }
        }
        if (auto erased = txn.erase(records_table, sequence_key(*sequence)); !erased) {
            return erased;
        }
        ++draft.first;
    }
    return {};
}

DurableLog::Fate DurableLog::fate_of(LogSequence sequence, ByteView sealed, Draft& draft,
                                     std::optional<consensus::LogRecord>& moving) const {
    const auto kind = kind_of(sealed);
    if (kind && *kind == RecordKind::block && sealed.size() >= 1 + block_id_bytes) {
        crypto::Digest id;
        std::copy_n(sealed.begin() + 1, block_id_bytes, id.bytes.begin());
        const std::shared_lock guard(mutex_);
        const BlockEntry* entry = index_.block(id);
        if (entry != nullptr && entry->sequence == sequence && entry->height > draft.truncation.floor) {
            return Fate::stays;
        }
        draft.changes.emplace_back([sequence, id](LogIndex& index) -> Result<void> {
            index.forget_record(sequence, id);
            return {};
        });
        return Fate::goes;
    }
    auto record = open_any_record(sequence_key(sequence), sealed);
    if (!record) {
        Suspect suspect;
        suspect.record = sequence;
        note_damage(suspect, damage_of(sequence, record.error()));
        return is_support(sequence, draft) ? Fate::stays : Fate::goes;
    }
    if (!*record) {
        return Fate::goes;
    }
    const Fate fate = fate_of(sequence, **record, draft);
    if (fate == Fate::moves) {
        moving = std::move(*record);
    }
    return fate;
}

// A record that rotted although the voting state leans on it must not vanish without a trace: the next start has to see
// that something is missing.
bool DurableLog::is_support(LogSequence sequence, const Draft& draft) const {
    const std::shared_lock guard(mutex_);
    return draft.voting && leans_on(*draft.voting, sequence);
}

bool DurableLog::leans_on(const consensus::VotingState& voting, LogSequence sequence) const {
    return index_.lock(voting.lock) == sequence || index_.new_view(voting.entered) == sequence ||
           index_.view_change(voting.promised) == sequence;
}

// `draft.voting` is what the voting state will be: what only an earlier one needed may go with this transaction.
DurableLog::Fate DurableLog::fate_of(LogSequence sequence, const consensus::LogRecord& record, Draft& draft) const {
    const auto by_height = [&](Height height) {
        if (height > draft.truncation.floor) {
            return Fate::stays;
        }
        draft.changes.emplace_back([sequence, height](LogIndex& index) -> Result<void> {
            index.forget_commit(sequence, height);
            return {};
        });
        return Fate::goes;
    };
    const auto if_newest = [&](std::optional<LogSequence> newest) {
        return newest == sequence ? Fate::moves : Fate::goes;
    };
    const std::shared_lock guard(mutex_);
    if (const auto* commit = std::get_if<consensus::CommitRecord>(&record)) {
        return by_height(commit->block.height);
    }
    if (const auto* installed = std::get_if<consensus::InstalledRecord>(&record)) {
        return by_height(installed->block.height);
    }
    if (const auto* evidence = std::get_if<consensus::EvidenceRecord>(&record)) {
        const auto known = index_.evidence().find(consensus::evidence_id(evidence->evidence));
        return if_newest(known == index_.evidence().end() ? std::nullopt : std::optional(known->second));
    }
    if (!draft.voting) {
        return Fate::moves;
    }
    if (const auto* lock = std::get_if<consensus::LockRecord>(&record)) {
        const bool own = draft.voting->lock.view.is(lock->certificate.view) &&
                         draft.voting->lock.block.height == lock->certificate.target.height;
        return own ? if_newest(index_.lock(draft.voting->lock)) : Fate::goes;
    }
    if (const auto* entered = std::get_if<consensus::NewViewRecord>(&record)) {
        const bool own = entered->message.view == draft.voting->entered;
        return own ? if_newest(index_.new_view(entered->message.view)) : Fate::goes;
    }
    if (const auto* change = std::get_if<consensus::ViewChangeRecord>(&record)) {
        const bool own = change->message.new_view == draft.voting->promised;
        return own ? if_newest(index_.view_change(change->message.new_view)) : Fate::goes;
    }
    return Fate::goes;
}

}  // namespace loyal::kvstore
