#include "kvstore/consensus_log.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "kvstore/log_index.h"
#include "kvstore/log_records.h"
#include "kvstore/vote_copies.h"

namespace loyal::kvstore {

namespace {

using consensus::BlockPtr;
using consensus::BlockRef;
using consensus::Height;
using consensus::VotingState;

// An environment that never held a record is smaller than this; a larger one without records has lost sight of them.
constexpr std::uint64_t empty_log_bytes_max = 64U << 10U;

// What a decoder calls invalid or contradictory is damage here: this replica wrote the record itself.
Error named(LogSequence sequence, Error error) {
    if (error.code == Errc::invalid_argument || error.code == Errc::conflict) {
        error.code = Errc::corrupted;
    }
    error.message = name_of_record(sequence) + ": " + error.message;
    return error;
}

VotingState genesis_voting(const BlockRef& genesis) {
    VotingState voting;
    voting.prep.block = genesis;
    voting.lock.block = genesis;
    return voting;
}

class DurableLog final : public ConsensusLog {
 public:
    DurableLog(Store& store, const consensus::ClusterContext& context)
        : store_(store), context_(context), index_(consensus::genesis_block(context)) {}

    [[nodiscard]] Result<void> load();

    Result<void> append(const std::vector<consensus::Persist>& group) override;
    Result<consensus::Recovered> recover(const BlockRef& executed) const override;
    Result<std::optional<BlockPtr>> block(const crypto::Digest& id) const override;
    Result<CommittedRange> committed_range(Height from, Height top, std::size_t bytes_max) const override;
    Result<std::vector<consensus::Evidence>> evidence() const override;
    Height committed() const override {
        const std::shared_lock guard(mutex_);
        return index_.committed().height;
    }
    std::uint64_t used_bytes() const override { return store_.used_bytes(); }

 private:
    // ---- Start
    [[nodiscard]] Result<void> load_records(const ReadTxn& txn, LogSequence first, LogSequence last);
    [[nodiscard]] Result<void> index_record(LogSequence sequence, const RawEntry& entry);

    // ---- Appending
    [[nodiscard]] Result<void> write_copies(WriteTxn& txn, const VoteCopy& copy) const;

    // ---- Reading
    [[nodiscard]] Result<ByteView> record_bytes(const ReadTxn& txn, LogSequence sequence) const;
    [[nodiscard]] Result<ByteView> payload(const ReadTxn& txn, LogSequence sequence, RecordKind kind) const;
    [[nodiscard]] Result<BlockPtr> read_block(const ReadTxn& txn, LogSequence sequence) const;
    [[nodiscard]] Result<void> recover_messages(const ReadTxn& txn, consensus::Recovered& out) const;
    using Found = std::map<std::pair<Height, crypto::Digest>, LogSequence>;
    [[nodiscard]] bool collect_chain(BlockRef from, Height floor, Found& out) const;
    [[nodiscard]] Result<std::vector<BlockPtr>> recover_blocks(const ReadTxn& txn,
                                                               const consensus::Recovered& state) const;
    [[nodiscard]] Height end_of_range(Height from, Height top) const;

    Store& store_;
    consensus::ClusterContext context_;
    // Changed by the appending thread only, which therefore reads it without the mutex.
    LogIndex index_;
    std::optional<VotingState> voting_;
    LogSequence next_ = 1;
    mutable std::shared_mutex mutex_;
};

// ------------------------------------------------------------------------------------------------ start

Result<void> DurableLog::load() {
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto end = (*txn)->seek_before(records_table, {});
    if (!end) {
        return tl::unexpected(end.error());
    }
    LogSequence last = 0;
    if (*end) {
        const auto sequence = decode_sequence_key((*end)->key);
        if (!sequence) {
            return tl::unexpected(sequence.error());
        }
        last = *sequence;
    }
    const auto a = read_vote_copy(**txn, vote_a_table, vote_a_table_name);
    const auto b = read_vote_copy(**txn, vote_b_table, vote_b_table_name);
    if (!a || !b) {
        return tl::unexpected(!a ? a.error() : b.error());
    }
    const auto copy = newest_copy(*a, *b, last);
    if (!copy) {
        return tl::unexpected(copy.error());
    }
    if (!*copy) {
        if (store_.used_bytes() > empty_log_bytes_max) {
            return lost_votes("the log has no record at all, but was written to");
        }
        return {};
    }
    voting_ = (*copy)->voting;
    next_ = last + 1;
    return load_records(**txn, (*copy)->first, last);
}

Result<void> DurableLog::load_records(const ReadTxn& txn, LogSequence first, LogSequence last) {
    LogSequence expected = first;
    auto entry = txn.seek(records_table, sequence_key(first));
    for (; entry && *entry; ++expected) {
        const auto sequence = decode_sequence_key((*entry)->key);
        if (!sequence || *sequence != expected) {
            return fail(Errc::corrupted, name_of_record(expected) + " is missing");
        }
        if (auto indexed = index_record(*sequence, **entry); !indexed) {
            return tl::unexpected(named(*sequence, indexed.error()));
        }
        entry = txn.seek(records_table, (*entry)->key, true);
    }
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    if (expected != last + 1) {
        return fail(Errc::corrupted, name_of_record(expected) + " is missing");
    }
    if (voting_) {
        index_.forget_locks_below(voting_->lock);
    }
    return {};
}

// Blocks are indexed by their head, so that a start does not read all bodies; theirs is checked when they are used.
// Everything else is checked here.
Result<void> DurableLog::index_record(LogSequence sequence, const RawEntry& entry) {
    const auto kind = kind_of(entry.value);
    if (!kind) {
        return tl::unexpected(kind.error());
    }
    if (*kind == RecordKind::block) {
        const auto head = open_block_head(context_, entry.value);
        if (!head) {
            return tl::unexpected(head.error());
        }
        index_.add_block(head->ref, head->header.parent, sequence);
        return index_.settle();
    }
    const auto content = open_record(entry.key, entry.value, *kind);
    if (!content) {
        return tl::unexpected(content.error());
    }
    const auto apply = [&](auto decoded) -> Result<void> {
        return decoded ? change_of(consensus::LogRecord(std::move(*decoded)), sequence)(index_)
                       : Result<void>(tl::unexpected(decoded.error()));
    };
    switch (*kind) {
        case RecordKind::lock:
            return apply(consensus::decode_certificate(*content).map(
                [](consensus::Certificate&& certificate) { return consensus::LockRecord{std::move(certificate)}; }));
        case RecordKind::new_view:
            return apply(consensus::decode_new_view(*content).map(
                [](consensus::NewView&& message) { return consensus::NewViewRecord{std::move(message)}; }));
        case RecordKind::view_change:
            return apply(consensus::decode_view_change(*content).map(
                [](consensus::ViewChange&& message) { return consensus::ViewChangeRecord{std::move(message)}; }));
        case RecordKind::commit: return apply(decode_commit(*content));
        case RecordKind::evidence:
            return apply(consensus::decode_evidence(*content).map(
                [](consensus::Evidence&& evidence) { return consensus::EvidenceRecord{std::move(evidence)}; }));
        case RecordKind::installed:
            return apply(consensus::decode_header(*content).map(
                [](consensus::Header&& header) { return consensus::InstalledRecord{header}; }));
        case RecordKind::mark:
        case RecordKind::block: break;
    }
    return {};
}

// ------------------------------------------------------------------------------------------------ appending

Result<void> DurableLog::write_copies(WriteTxn& txn, const VoteCopy& copy) const {
    return txn.put(vote_a_table, view_of(vote_key), seal_vote_copy(vote_a_table_name, copy)).and_then([&] {
        return txn.put(vote_b_table, view_of(vote_key), seal_vote_copy(vote_b_table_name, copy));
    });
}

Result<void> DurableLog::append(const std::vector<consensus::Persist>& group) {
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    std::optional<VotingState> voting = voting_;
    std::vector<IndexChange> changes;
    LogSequence next = next_;
    const auto write = [&](const auto& record) -> Result<void> {
        const Bytes key = sequence_key(next);
        return txn.append(records_table, key, seal_record(key, record)).map([&] { ++next; });
    };
    for (const consensus::Persist& persist : group) {
        for (const consensus::LogRecord& record : persist.records) {
            if (const auto* state = std::get_if<VotingState>(&record)) {
                voting = *state;
                continue;
            }
            changes.push_back(change_of(record, next));
            auto written = std::visit(
                [&](const auto& typed) -> Result<void> {
                    if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, VotingState>) {
                        return {};
                    } else {
                        return write(typed);
                    }
                },
                record);
            if (!written) {
                return written;
            }
        }
    }
    if (next == next_) {
        // Every transaction moves the last record's number, or a lost write of a voting state would go unnoticed.
        const Bytes key = sequence_key(next);
        if (auto written = txn.append(records_table, key, seal_mark(key)); !written) {
            return written;
        }
        ++next;
    }
    if (auto written = write_copies(txn, {next - 1, 1, voting}); !written) {
        return written;
    }
    if (auto committed = txn.commit(Durability::synced); !committed) {
        return committed;
    }
    voting_ = voting;
    next_ = next;
    const std::unique_lock guard(mutex_);
    for (const IndexChange& change : changes) {
        const auto changed = change(index_);
        LOYAL_ASSERT(changed.has_value(), "the core commits one chain");
    }
    if (voting_) {
        index_.forget_locks_below(voting_->lock);
    }
    return {};
}

// ------------------------------------------------------------------------------------------------ reading

Result<ByteView> DurableLog::record_bytes(const ReadTxn& txn, LogSequence sequence) const {
    const auto sealed = txn.get(records_table, sequence_key(sequence));
    if (!sealed) {
        return tl::unexpected(named(sequence, sealed.error()));
    }
    if (!*sealed) {
        return fail(Errc::corrupted, name_of_record(sequence) + " is missing");
    }
    return **sealed;
}

Result<ByteView> DurableLog::payload(const ReadTxn& txn, LogSequence sequence, RecordKind kind) const {
    const auto sealed = record_bytes(txn, sequence);
    if (!sealed) {
        return sealed;
    }
    return open_record(sequence_key(sequence), *sealed, kind).map_error([&](Error error) {
        return named(sequence, std::move(error));
    });
}

Result<BlockPtr> DurableLog::read_block(const ReadTxn& txn, LogSequence sequence) const {
    const auto sealed = record_bytes(txn, sequence);
    if (!sealed) {
        return tl::unexpected(sealed.error());
    }
    return open_block(context_, sequence_key(sequence), *sealed).map_error([&](Error error) {
        return named(sequence, std::move(error));
    });
}

Result<std::optional<BlockPtr>> DurableLog::block(const crypto::Digest& id) const {
    LogSequence sequence = 0;
    {
        const std::shared_lock guard(mutex_);
        const BlockEntry* entry = index_.block(id);
        if (entry == nullptr) {
            return std::optional<BlockPtr>();
        }
        sequence = entry->sequence;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    return read_block(**txn, sequence).map([](BlockPtr&& block) { return std::optional(std::move(block)); });
}

Result<void> DurableLog::recover_messages(const ReadTxn& txn, consensus::Recovered& out) const {
    const VotingState& voting = out.voting;
    if (const auto at = index_.lock(voting.lock); at && !voting.lock.view.is_genesis()) {
        auto certificate = payload(txn, *at, RecordKind::lock).and_then([](ByteView bytes) {
            return consensus::decode_certificate(bytes);
        });
        if (!certificate) {
            return tl::unexpected(named(*at, certificate.error()));
        }
        if (consensus::header_id(context_, certificate->target) != voting.lock.block.id) {
            return tl::unexpected(named(*at, {Errc::corrupted, "the certificate is not of the locked block"}));
        }
        out.lock_certificate = std::move(*certificate);
    } else if (!voting.lock.view.is_genesis() && index_.has_locks()) {
        return fail(Errc::corrupted, "the log lacks the certificate of this replica's lock");  // crash mode has none
    }
    if (const auto at = index_.new_view(voting.entered)) {
        auto message = payload(txn, *at, RecordKind::new_view).and_then([](ByteView bytes) {
            return consensus::decode_new_view(bytes);
        });
        if (!message) {
            return tl::unexpected(named(*at, message.error()));
        }
        out.new_view = std::move(*message);
    }
    if (const auto at = index_.view_change(voting.promised)) {
        auto message = payload(txn, *at, RecordKind::view_change).and_then([](ByteView bytes) {
            return consensus::decode_view_change(bytes);
        });
        if (!message) {
            return tl::unexpected(named(*at, message.error()));
        }
        out.view_change = std::move(*message);
    }
    return {};
}

// Walks parents from `from` down to just above `floor`. False when a block is not in the log.
bool DurableLog::collect_chain(BlockRef from, Height floor, Found& out) const {
    while (from.height > floor) {
        const BlockEntry* entry = index_.block(from.id);
        if (entry == nullptr) {
            return false;
        }
        if (!out.emplace(std::pair(entry->height, from.id), entry->sequence).second) {
            return true;  // from here down it is there already
        }
        from = {entry->height.minus(1), entry->parent};
    }
    return true;
}

Result<std::vector<BlockPtr>> DurableLog::recover_blocks(const ReadTxn& txn, const consensus::Recovered& state) const {
    const Height floor = std::min(state.executed, state.committed.height).minus(2 * limits::window_max);
    Found found;
    // The bodies of a NEWVIEW's base, and in crash mode of the lock that it gives, may still be on their way (V5);
    // blocks that this replica voted to prepare were durable before the vote (N4).
    if (!collect_chain(state.voting.prep.block, floor, found)) {
        return fail(Errc::corrupted, "the log lacks a block on the chain that this replica voted for, up to height " +
                                         std::to_string(state.voting.prep.block.height.value));
    }
    // A block is executed only when it is durable here.
    if (!state.executed_id.is_zero() && !collect_chain({state.executed, state.executed_id}, floor, found)) {
        return fail(Errc::corrupted, "the state store is of height " + std::to_string(state.executed.value) +
                                         ", of which the consensus log knows no block: the two do not belong "
                                         "together; restore the data folder");
    }
    (void)collect_chain(state.committed, floor, found);
    (void)collect_chain(state.voting.lock.block, floor, found);
    if (state.new_view) {
        (void)collect_chain(state.new_view->base.block, floor, found);
    }
    std::vector<BlockPtr> blocks;
    blocks.reserve(found.size());
    for (const auto& [at, sequence] : found) {
        auto block = read_block(txn, sequence);
        if (!block) {
            return tl::unexpected(block.error());
        }
        blocks.push_back(std::move(*block));
    }
    return blocks;
}

Result<consensus::Recovered> DurableLog::recover(const BlockRef& executed) const {
    const std::shared_lock guard(mutex_);
    consensus::Recovered out;
    out.fresh = next_ == 1;
    out.executed = executed.height;
    out.executed_id = executed.id;
    out.committed = index_.committed();
    out.voting = voting_.value_or(genesis_voting(consensus::genesis_block(context_)));
    if (out.fresh) {
        return out;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    if (auto read = recover_messages(**txn, out); !read) {
        return tl::unexpected(read.error());
    }
    auto blocks = recover_blocks(**txn, out);
    if (!blocks) {
        return tl::unexpected(blocks.error());
    }
    out.blocks = std::move(*blocks);
    return out;
}

// Last height of an answer that begins at `from`: the highest with a certificate that leaves at most fetch_blocks_max
// headers, `top` or below if there is one there. Crash mode has no certificates and takes what fits. Zero: none.
Height DurableLog::end_of_range(Height from, Height top) const {
    const Height committed = index_.committed().height;
    const Height last = std::min(committed, from.plus(limits::fetch_blocks_max - 1));
    const Height bound = std::min(top, last);
    const auto& certificates = index_.certificates();
    if (certificates.empty()) {
        return bound >= from ? bound : Height(0);
    }
    const auto beyond = certificates.upper_bound(bound);
    if (beyond != certificates.begin() && std::prev(beyond)->first >= from) {
        return std::prev(beyond)->first;
    }
    return beyond != certificates.end() && beyond->first >= from && beyond->first <= last ? beyond->first : Height(0);
}

Result<CommittedRange> DurableLog::committed_range(Height from, Height top, std::size_t bytes_max) const {
    CommittedRange range;
    std::vector<LogSequence> sequences;
    std::optional<LogSequence> certificate;
    {
        const std::shared_lock guard(mutex_);
        from = std::max(from, Height(1));
        const Height end = end_of_range(from, top);
        for (Height at = from; at <= end; at = at.next()) {
            sequences.push_back(index_.block(index_.committed_id(at))->sequence);
        }
        if (const auto found = index_.certificates().find(end);
            !sequences.empty() && found != index_.certificates().end()) {
            certificate = found->second;
        }
    }
    if (sequences.empty()) {
        return range;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    std::size_t bytes = 0;
    for (const LogSequence sequence : sequences) {
        const auto sealed = record_bytes(**txn, sequence);
        if (!sealed) {
            return tl::unexpected(sealed.error());
        }
        const auto head = open_block_head(context_, *sealed);
        if (!head) {
            return tl::unexpected(named(sequence, head.error()));
        }
        range.headers.push_back(head->header);
        // Bodies of the first ones, without a gap; one at least.
        if (range.blocks.size() + 1 == range.headers.size() && (bytes == 0 || bytes + sealed->size() <= bytes_max)) {
            bytes += sealed->size();
            auto block = read_block(**txn, sequence);
            if (!block) {
                return tl::unexpected(block.error());
            }
            range.blocks.push_back(std::move(*block));
        }
    }
    if (certificate) {
        auto commit = payload(**txn, *certificate, RecordKind::commit).and_then(decode_commit);
        if (!commit) {
            return tl::unexpected(named(*certificate, commit.error()));
        }
        range.certificate = std::move(commit->certificate);
    }
    return range;
}

Result<std::vector<consensus::Evidence>> DurableLog::evidence() const {
    std::vector<LogSequence> sequences;
    {
        const std::shared_lock guard(mutex_);
        for (const auto& [id, sequence] : index_.evidence()) {
            sequences.push_back(sequence);
        }
    }
    std::sort(sequences.begin(), sequences.end());
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    std::vector<consensus::Evidence> found;
    for (const LogSequence sequence : sequences) {
        auto one = payload(**txn, sequence, RecordKind::evidence).and_then(consensus::decode_evidence);
        if (!one) {
            return tl::unexpected(named(sequence, one.error()));
        }
        found.push_back(std::move(*one));
    }
    return found;
}

}  // namespace

Result<std::unique_ptr<ConsensusLog>> ConsensusLog::open(Store& log, const consensus::ClusterContext& context) {
    auto opened = std::make_unique<DurableLog>(log, context);
    if (auto loaded = opened->load(); !loaded) {
        return tl::unexpected(loaded.error());
    }
    return std::unique_ptr<ConsensusLog>(std::move(opened));
}

std::vector<std::string> ConsensusLog::log_tables() {
    return {std::string(records_table_name), std::string(vote_a_table_name), std::string(vote_b_table_name)};
}

}  // namespace loyal::kvstore
