// Start of the consensus log: what is in it, whether its votes can be believed (rules A1, A6), and what a core gets
// back (§7, restart()). Why each kind of damage is treated as it is: docs/STORAGE.md.
#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "kvstore/durable_log.h"

namespace loyal::kvstore {

using consensus::BlockPtr;
using consensus::BlockRef;
using consensus::Height;
using consensus::VotingState;

namespace {

// An environment that never held a record is smaller than this; a larger one without records has lost sight of them.
constexpr std::uint64_t empty_log_bytes_max = 64U << 10U;
constexpr std::size_t unreadable_keys_max = 4096;

VotingState genesis_voting(const BlockRef& genesis) {
    VotingState voting;
    voting.prep.block = genesis;
    voting.lock.block = genesis;
    return voting;
}

std::string missing_between(LogSequence first, LogSequence last) {
    return first == last ? name_of_record(first) + " is missing"
                         : "log records " + std::to_string(first) + " to " + std::to_string(last) + " are missing";
}

}  // namespace

DurableLog::DurableLog(Store& store, const consensus::ClusterContext& context, const LogOptions& options, Writes writes)
    : store_(store), context_(context), options_(options), writes_(writes), index_(consensus::genesis_block(context)) {}

// ------------------------------------------------------------------------------------------------ walking the records

Result<void> DurableLog::load() {
    Walk walk;
    std::string doubt;
    {
        auto txn = store_.begin_read();
        if (!txn) {
            return tl::unexpected(txn.error());
        }
        const auto last = last_sequence(**txn, doubt);
        const auto a = read_vote_copy(**txn, vote_a_table, vote_a_table_name);
        const auto b = read_vote_copy(**txn, vote_b_table, vote_b_table_name);
        if (!last || !a || !b) {
            return tl::unexpected(!last ? last.error() : !a ? a.error() : b.error());
        }
        for (const CopyRead* copy : {&*a, &*b}) {
            if (!copy->why.empty()) {
                damage_.add("a copy of the voting state: " + copy->why);
                walk.copy_damaged = true;
            }
        }
        VotesFound votes = judge_copies(*a, *b, *last);
        votes.doubt = doubt.empty() ? votes.doubt : doubt;
        fresh_ = !a->present && !b->present && *last == 0 && doubt.empty();
        if (fresh_ && store_.written_bytes() > empty_log_bytes_max) {
            votes.doubt = "the log has no record at all, but was written to";
            fresh_ = false;
        }
        walk.last = std::max(*last, votes.copy ? votes.copy->sequence : 0);
        if (auto loaded = load_records(**txn, votes, walk); !loaded) {
            return loaded;
        }
        voting_ = votes.copy ? votes.copy->voting : std::nullopt;
        next_ = walk.last + 1;
        doubt = votes.doubt.empty() ? lost_support(**txn, walk.lost_unknown) : votes.doubt;
        if (options_.lost && doubt.empty()) {
            doubt = "the data folder was lost and made anew";
        }
        const bool sound = doubt.empty() || (votes.doubt.empty() && voting_ && voting_->amnesiac);
        votes_lost_ = sound ? std::string() : doubt;
        if (!sound && !lock_certificate(**txn)) {
            voting_ = voting_.value_or(genesis_voting(consensus::genesis_block(context_)));
            voting_->lock = genesis_voting(consensus::genesis_block(context_)).lock;
        }
        load_supports(**txn);
    }
    if (writes_ == Writes::never) {
        return {};
    }
    if (!votes_lost_.empty() || !walk.unreadable_keys.empty() || !holes_.empty() || walk.copy_damaged) {
        return repair(walk.unreadable_keys);
    }
    if (voting_) {
        index_.forget_below(*voting_);
    }
    return {};
}

Result<LogSequence> DurableLog::last_sequence(const ReadTxn& txn, std::string& doubt) {
    const auto end = txn.seek_before(records_table, {});
    if (!end && end.error().code != Errc::corrupted) {
        return tl::unexpected(end.error());
    }
    if (end && !*end) {
        return LogSequence{0};
    }
    const auto sequence = end ? decode_sequence_key((*end)->key) : Result<LogSequence>(tl::unexpected(end.error()));
    if (!sequence) {
        doubt = "the end of the log cannot be read: " + sequence.error().message;
        return LogSequence{0};
    }
    return *sequence;
}

// Every number from the first kept one on is there, or something is lost. Nothing is cut off behind what is damaged:
// later records hold votes, too.
Result<void> DurableLog::load_records(const ReadTxn& txn, const VotesFound& votes, Walk& walk) {
    const bool trusted = votes.copy && votes.doubt.empty();
    const BlockRef genesis = consensus::genesis_block(context_);
    LogSequence expected = trusted ? votes.copy->first : 0;  // 0: whatever comes first
    auto entry = txn.seek(records_table, trusted ? sequence_key(expected) : Bytes());
    if (!votes.copy || !trusted) {
        const auto first = entry && *entry ? decode_sequence_key((*entry)->key) : Result<LogSequence>(0);
        index_ = LogIndex(first && *first <= 1 ? std::optional(genesis) : std::nullopt);
    } else {
        index_ = LogIndex(votes.copy->base);
    }
    first_ = trusted ? expected : 0;
    while (entry && *entry) {
        const auto sequence = decode_sequence_key((*entry)->key);
        if (!sequence) {
            damage_.add(sequence.error().message);
            walk.unreadable_keys.emplace_back((*entry)->key.begin(), (*entry)->key.end());
            walk.lost_unknown = true;
            if (walk.unreadable_keys.size() == unreadable_keys_max) {
                break;
            }
        } else if (expected != 0 && *sequence < expected) {
            damage_.add(name_of_record(*sequence) + " is out of order");
            walk.lost_unknown = true;
            break;
        } else {
            const auto lost = open_lost((*entry)->key, (*entry)->value);
            if (expected != 0 && *sequence != expected && !(lost && *lost <= expected)) {
                damage_.add(missing_between(expected, *sequence - 1));
                note_hole(expected, *sequence - 1);
                walk.lost_unknown = true;
            }
            walk.lost_unknown = walk.lost_unknown || lost;
            load_entry(**entry, *sequence, walk);
            first_ = first_ == 0 ? *sequence : first_;
            expected = *sequence + 1;
            walk.last = std::max(walk.last, *sequence);
        }
        entry = txn.seek(records_table, (*entry)->key, true);
    }
    if (!entry && entry.error().code != Errc::corrupted) {
        return tl::unexpected(entry.error());
    }
    if (!entry) {
        damage_.add(entry.error().message);
    }
    if (expected != 0 && expected <= walk.last) {
        damage_.add(missing_between(expected, walk.last));
        note_hole(expected, walk.last);
        walk.lost_unknown = true;
    }
    first_ = first_ == 0 ? walk.last + 1 : first_;
    if (index_.base().id.is_zero() && index_.base().height.value == 0) {
        index_.raise_base(genesis);
    }
    return {};
}

// Blocks are indexed by their head, so that a start does not read all bodies; theirs is checked when they are used.
// Everything else is checked here. A record that does not open may have been of any kind: its first byte may be what
// rotted.
void DurableLog::load_entry(const RawEntry& entry, LogSequence sequence, Walk& walk) {
    const auto kind = kind_of(entry.value);
    if (kind && *kind == RecordKind::block) {
        const auto head = open_block_head(context_, entry.value);
        if (!head) {
            damage_.add(damage_of(sequence, head.error()).message);
            note_hole(sequence, sequence);
            walk.lost_unknown = true;
        } else if (auto added = index_.add_block(head->ref, head->header.parent, sequence); !added) {
            damage_.add(damage_of(sequence, added.error()).message);
        }
        return;
    }
    const auto record = open_any_record(entry.key, entry.value);
    if (!record) {
        damage_.add(damage_of(sequence, record.error()).message);
        note_hole(sequence, sequence);
        walk.lost_unknown = true;
    } else if (*record) {
        if (auto applied = change_of(context_, **record, sequence)(index_); !applied) {
            damage_.add(damage_of(sequence, applied.error()).message);
        }
    }
}

// ------------------------------------------------------------------------------------------------ the votes

// Nothing when this lock has none, or none that is intact.
std::optional<consensus::Certificate> DurableLog::lock_certificate(const ReadTxn& txn) const {
    const auto at = voting_ ? index_.lock(voting_->lock) : std::nullopt;
    if (!at || voting_->lock.view.is_genesis()) {
        return std::nullopt;
    }
    auto record = read_support<consensus::LockRecord>(txn, *at);
    if (!record || consensus::header_id(context_, record->certificate.target) != voting_->lock.block.id) {
        return std::nullopt;
    }
    return std::move(record->certificate);
}

// What the voting state leans on, and what of it is gone.
std::string DurableLog::lost_support(const ReadTxn& txn, bool lost_unknown) {
    if (!voting_ || voting_->amnesiac) {
        return {};
    }
    // When nobody says and the log does not show which mode wrote it, the worse one is assumed.
    const bool unclear = !options_.fault_model && lost_unknown && !index_.has_bare_commits();
    const bool certified = unclear || has_certificates();
    if (certified && !voting_->lock.view.is_genesis() && !lock_certificate(txn)) {
        return "the certificate of its lock is damaged or gone, so it could not prove the lock in a view change";
    }
    const bool at_home = voting_->prep.view == voting_->entered && voting_->lock.view.is(voting_->entered);
    if (lost_unknown && voting_->entered.value > 0 && !at_home && !index_.new_view(voting_->entered)) {
        return "the NEWVIEW of the view it is in is damaged or gone, so it does not know the view's base";
    }
    return {};
}

void DurableLog::load_supports(const ReadTxn& txn) {
    const auto keep = [&](std::optional<LogSequence> at, auto record) {
        if (record) {
            supports_.insert_or_assign(*at, std::move(*record));
        }
    };
    if (!voting_) {
        return;
    }
    if (const auto at = index_.lock(voting_->lock)) {
        keep(at, read_support<consensus::LockRecord>(txn, *at));
    }
    if (const auto at = index_.new_view(voting_->entered)) {
        keep(at, read_support<consensus::NewViewRecord>(txn, *at));
    }
    if (const auto at = index_.view_change(voting_->promised)) {
        keep(at, read_support<consensus::ViewChangeRecord>(txn, *at));
    }
}

// AMNESIAC before anybody can ask for a vote; out of the way what would stop appends, and what is damaged.
Result<void> DurableLog::repair(const std::vector<Bytes>& unreadable_keys) {
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    Draft draft = new_draft();
    if (!votes_lost_.empty()) {
        damage_.add("the voting state cannot be trusted: " + votes_lost_);
        draft.voting = voting_.value_or(genesis_voting(consensus::genesis_block(context_)));
        draft.voting->amnesiac = true;
    }
    for (const Bytes& key : unreadable_keys) {
        if (auto erased = (*begun)->erase(records_table, key); !erased) {
            return erased;
        }
    }
    if (auto written = write_mark(**begun, draft).and_then([&] { return mend(**begun, draft); }); !written) {
        return written;
    }
    return finish(**begun, draft);
}

// ------------------------------------------------------------------------------------------------ what a core gets
// back

// What rotted since the start is known from memory; the scrub finds it.
Result<void> DurableLog::recover_messages(const ReadTxn& txn, consensus::Recovered& out) const {
    out.lock_certificate = lock_certificate(txn);
    if (!out.lock_certificate && !out.voting.lock.view.is_genesis() && has_certificates()) {
        if (!out.voting.amnesiac) {
            return fail(Errc::corrupted, "the certificate of this replica's lock rotted in the consensus log");
        }
        out.voting.lock = genesis_voting(consensus::genesis_block(context_)).lock;
    }
    if (const auto at = index_.new_view(out.voting.entered)) {
        auto record = read_support<consensus::NewViewRecord>(txn, *at);
        if (!record) {
            return tl::unexpected(record.error());
        }
        out.new_view = std::move(record->message);
    }
    if (const auto at = index_.view_change(out.voting.promised)) {
        auto record = read_support<consensus::ViewChangeRecord>(txn, *at);
        if (!record) {
            return tl::unexpected(record.error());
        }
        out.view_change = std::move(record->message);
    }
    return {};
}

// Walks parents from `from` down to just above `floor`, or to the first block that is not here: the core fetches that
// by its id (A6), and so it does with bodies of a NEWVIEW's base that are still on their way (V5).
void DurableLog::collect_chain(BlockRef from, Height floor, Found& out) const {
    while (from.height > floor) {
        const BlockEntry* entry = index_.block(from.id);
        const bool here = entry != nullptr && entry->height == from.height;
        if (!here || !out.emplace(std::pair(entry->height, from.id), entry->sequence).second) {
            return;
        }
        from = {entry->height.minus(1), entry->parent};
    }
}

Result<std::vector<BlockPtr>> DurableLog::recover_blocks(const ReadTxn& txn, const consensus::Recovered& state) const {
    Found found;
    {
        const std::shared_lock guard(mutex_);
        // The state may be ahead of the log's commit records, which are written lazily.
        const Height floor = std::min(state.executed, index_.committed().height).minus(2 * limits::window_max);
        std::string ignored;
        const BlockRef committed = whole_above({state.executed, state.executed_id}, ignored);
        for (const BlockRef& head : {state.voting.prep.block, BlockRef{state.executed, state.executed_id}, committed,
                                     state.voting.lock.block}) {
            collect_chain(head, floor, found);
        }
        if (state.new_view) {
            collect_chain(state.new_view->base.block, floor, found);
        }
    }
    std::vector<BlockPtr> blocks;
    blocks.reserve(found.size());
    for (const auto& [at, sequence] : found) {
        Suspect suspect;
        auto block = read_block(txn, at.second, sequence, suspect);
        if (block) {
            blocks.push_back(std::move(*block));
        } else if (block.error().code == Errc::corrupted) {
            note_damage(suspect, block.error());
        } else {
            return tl::unexpected(block.error());
        }
    }
    return blocks;
}

// The highest committed block whose chain from the executed one on is here, intact as far as is known.
BlockRef DurableLog::whole_above(const BlockRef& executed, std::string& mismatch) const {
    const BlockRef start = executed.height.value == 0 ? consensus::genesis_block(context_) : executed;
    const crypto::Digest known = index_.committed_id(start.height);
    if (!start.id.is_zero() && !known.is_zero() && known != start.id) {
        mismatch =
            "the state is of another block at height " + std::to_string(start.height.value) + " than the consensus log";
        return start;
    }
    BlockRef reached = start;
    for (const Step& step : steps(start.height.next(), index_.committed().height)) {
        const BlockEntry* entry = index_.block(step.id);
        const bool follows = reached.id.is_zero() || entry->parent == reached.id;
        if (step.damaged || !follows) {
            break;
        }
        reached = {reached.height.next(), step.id};
    }
    return reached;
}

consensus::Recovered DurableLog::votes() const {
    consensus::Recovered out;
    out.fresh = fresh_;
    out.voting = voting_.value_or(genesis_voting(consensus::genesis_block(context_)));
    out.committed = consensus::genesis_block(context_);
    out.votes_lost = votes_lost_;
    return out;
}

Result<consensus::Recovered> DurableLog::recover(const BlockRef& executed) const {
    const std::lock_guard at_rest(commit_mutex_);
    consensus::Recovered out = votes();
    out.executed = executed.height;
    out.executed_id = executed.id;
    if (out.fresh) {
        return out;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    {
        const std::shared_lock guard(mutex_);
        if (auto read = recover_messages(**txn, out); !read) {
            return tl::unexpected(read.error());
        }
    }
    auto blocks = recover_blocks(**txn, out);
    if (!blocks) {
        return tl::unexpected(blocks.error());
    }
    out.blocks = std::move(*blocks);
    const std::shared_lock guard(mutex_);
    out.committed = whole_above(executed, out.state_lost);
    out.known_committed = index_.committed().height;
    return out;
}

}  // namespace loyal::kvstore
