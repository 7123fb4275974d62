// Mending the consensus log: what is damaged or missing is noted as a hole, wherever it is found, and the appends that
// follow put it right, a few holes each, in their own transactions. What the voting state leans on is written again
// from memory; a block that the committed chain needs waits until it was fetched; anything else is put out of the way.
// A record of the kind `lost` stays in such a place: the next start has to know that something was there (A6).
#include <algorithm>
#include <utility>

#include "kvstore/durable_log.h"

namespace loyal::kvstore {

namespace {

constexpr std::size_t mended_at_once = 64;
// More of them wait until the scrub comes by again.
constexpr std::size_t holes_max = 4096;
// Missing records that are looked at one by one.
constexpr LogSequence gap_max = 64;
// Of one step of the scrub, whatever its records are.
constexpr std::size_t scrub_bytes_max = std::size_t{1} << 20U;

// What has its seal is what was written; whether that makes sense is asked where it is used.
Result<void> check_seal(const RawEntry& entry) {
    const auto kind = kind_of(entry.value);
    if (!kind) {
        return tl::unexpected(kind.error());
    }
    return open_record(entry.key, entry.value, *kind).map([](ByteView) {});
}

}  // namespace

// ---- Holes

void DurableLog::note_hole(LogSequence first, LogSequence last) const {
    if (first == 0 || holes_.size() >= holes_max || holes_.contains(last)) {
        return;
    }
    holes_.emplace(last, Hole{first, first == last ? index_.block_in(last) : std::nullopt});
    mending_.store(true, std::memory_order_release);
}

std::optional<LogSequence> DurableLog::hole_of(const crypto::Digest& block) const {
    const std::shared_lock guard(mutex_);
    const auto found = std::find_if(holes_.begin(), holes_.end(), [&](const auto& hole) {
        return hole.second.block && hole.second.block->id == block;
    });
    return found == holes_.end() ? std::nullopt : std::optional(found->first);
}

// A block above the committed ones may be of the voted chain: it is kept in mind until that is decided.
bool DurableLog::awaits_block(LogSequence last, const Hole& hole) const {
    if (!hole.block || hole.block->height > index_.committed().height) {
        return hole.block.has_value();
    }
    const BlockEntry* entry = index_.block(hole.block->id);
    const bool elsewhere = entry != nullptr && entry->sequence != last;
    return !elsewhere && hole.block->height > index_.base().height &&
           index_.committed_id(hole.block->height) == hole.block->id;
}

// What the votes lean on and memory does not hold either stays as it is: the next start has to see that it is missing.
bool DurableLog::can_mend(LogSequence last, const Hole& hole,
                          const std::optional<consensus::VotingState>& voting) const {
    return !awaits_block(last, hole) && !(voting && leans_on(*voting, last) && !supports_.contains(last));
}

Result<void> DurableLog::mend(WriteTxn& txn, Draft& draft) {
    std::vector<std::pair<LogSequence, Hole>> ready;
    {
        const std::shared_lock guard(mutex_);
        for (const auto& [last, hole] : holes_) {
            const bool done = std::find(draft.mended.begin(), draft.mended.end(), last) != draft.mended.end();
            if (!done && ready.size() < mended_at_once && can_mend(last, hole, draft.voting)) {
                ready.emplace_back(last, hole);
            }
        }
    }
    for (const auto& [last, hole] : ready) {
        if (auto mended = mend_hole(txn, last, hole, draft); !mended) {
            return mended;
        }
    }
    return {};
}

Result<void> DurableLog::mend_hole(WriteTxn& txn, LogSequence last, const Hole& hole, Draft& draft) const {
    if (last < draft.first) {
        draft.mended.push_back(last);  // truncated meanwhile
        return {};
    }
    if (is_support(last, draft)) {
        if (auto written = write_record(txn, supports_.at(last), draft); !written) {
            return written;
        }
    }
    const Bytes key = sequence_key(last);
    return txn.put(records_table, key, seal_lost(key, std::max(hole.first, draft.first))).map([&, from = hole.first] {
        draft.mended.push_back(last);
        ++draft.repairs.records;
        draft.changes.emplace_back([from, last](LogIndex& index) -> Result<void> {
            index.forget_records(from, last);
            return {};
        });
    });
}

LogRepairs DurableLog::repairs() const {
    const std::shared_lock guard(mutex_);
    return repairs_;
}

// ---- Reading everything again

// What looks wrong in one snapshot. A record that is being forgotten or written in its place may look so.
Result<std::vector<DurableLog::Gap>> DurableLog::look_through(LogSequence from, std::size_t records_max,
                                                              LogScrub& done) const {
    std::vector<Gap> suspects;
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto a = read_vote_copy(**txn, vote_a_table, vote_a_table_name);
    const auto b = read_vote_copy(**txn, vote_b_table, vote_b_table_name);
    if (!a || !b) {
        return tl::unexpected(!a ? a.error() : b.error());
    }
    if ((a->present || b->present) && !(a->copy && b->copy)) {
        mending_.store(true, std::memory_order_release);  // every append writes both
    }
    const auto& copy = a->copy ? a->copy : b->copy;
    if (!copy) {
        return suspects;
    }
    LogSequence expected = std::max(from, copy->first);
    std::size_t bytes = 0;
    auto entry = (*txn)->seek(records_table, sequence_key(expected));
    for (; entry && *entry && done.records < records_max && bytes < scrub_bytes_max; ++done.records) {
        bytes += (*entry)->value.size();
        const auto sequence = decode_sequence_key((*entry)->key);
        if (sequence && *sequence >= expected) {
            const auto lost = open_lost((*entry)->key, (*entry)->value);
            if (*sequence > expected && !(lost && *lost <= expected)) {
                suspects.push_back({expected, *sequence - 1});
            }
            if (!check_seal(**entry)) {
                suspects.push_back({*sequence, *sequence});
            }
            expected = *sequence + 1;
        }
        entry = (*txn)->seek(records_table, (*entry)->key, true);
    }
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    done.next = *entry ? expected : 0;
    if (!*entry && expected <= copy->sequence) {
        suspects.push_back({expected, copy->sequence});
    }
    return suspects;
}

Result<LogScrub> DurableLog::scrub(std::uint64_t from, std::size_t records_max) const {
    LogScrub done;
    const auto suspects = look_through(from, records_max, done);
    if (!suspects) {
        return tl::unexpected(suspects.error());
    }
    for (const Gap& gap : *suspects) {
        if (auto confirmed = confirm(gap); !confirmed) {
            return tl::unexpected(confirmed.error());
        }
    }
    return done;
}

// With the index at rest.
Result<void> DurableLog::confirm(Gap gap) const {
    const std::lock_guard at_rest(commit_mutex_);
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    gap.first = std::max(gap.first, first_);
    gap.last = std::min(gap.last, next_ - 1);
    if (gap.last >= gap.first + gap_max) {
        const std::unique_lock guard(mutex_);
        damage_.add("log records " + std::to_string(gap.first) + " to " + std::to_string(gap.last) + " are missing");
        note_hole(gap.first, gap.last);
        return {};
    }
    for (LogSequence at = gap.first; at <= gap.last; ++at) {
        const Bytes key = sequence_key(at);
        const auto sealed = (*txn)->get(records_table, key);
        if (!sealed && sealed.error().code != Errc::corrupted) {
            return tl::unexpected(sealed.error());
        }
        if (!sealed || !*sealed) {
            note_damaged_record(at, Error{Errc::corrupted, "it is missing"}, {});
        } else if (auto opened = check_seal({key, **sealed}); !opened) {
            note_damaged_record(at, opened.error(), **sealed);
        }
    }
    return {};
}

void DurableLog::note_damaged_record(LogSequence sequence, const Error& error, ByteView sealed) const {
    const std::unique_lock guard(mutex_);
    if (holes_.contains(sequence)) {
        return;
    }
    damage_.add(damage_of(sequence, error).message);
    note_hole(sequence, sequence);
    if (const auto block = index_.block_in(sequence)) {
        const auto head = open_block_head(context_, sealed);
        index_.mark_damaged(block->id, !head || head->ref.id != block->id);
    }
}

}  // namespace loyal::kvstore
