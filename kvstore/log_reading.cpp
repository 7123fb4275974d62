// Reading blocks, ranges, evidence and proofs from the consensus log. Every seal is verified; what does not match is
// Errc::corrupted, noted, and from then on known as damaged, which is not the same as absent (rule A6).
#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "kvstore/durable_log.h"

namespace loyal::kvstore {

using consensus::BlockPtr;
using consensus::BlockRef;
using consensus::Header;
using consensus::Height;

Error damage_of(LogSequence sequence, Error error) {
    if (error.code == Errc::invalid_argument || error.code == Errc::conflict) {
        error.code = Errc::corrupted;
    }
    error.message = name_of_record(sequence) + ": " + error.message;
    return error;
}

template <class Read>
auto DurableLog::steady(Read read) const -> decltype(read(std::declval<Suspect&>())) {
    {
        Suspect ignored;
        auto first = read(ignored);
        if (first || first.error().code != Errc::corrupted) {
            return first;
        }
    }
    const std::lock_guard at_rest(commit_mutex_);
    Suspect suspect;
    auto second = read(suspect);
    if (!second && second.error().code == Errc::corrupted && (suspect.block || suspect.certificate)) {
        note_damage(suspect, second.error());
    }
    return second;
}

void DurableLog::note_damage(const Suspect& suspect, const Error& error) const {
    const std::unique_lock guard(mutex_);
    if (suspect.block) {
        const BlockEntry* entry = index_.block(*suspect.block);
        const bool known = entry == nullptr || (entry->damaged && !suspect.header_too);
        if (known) {
            return;
        }
        note_hole(suspect.record, suspect.record);
        index_.mark_damaged(*suspect.block, suspect.header_too);
    }
    if (suspect.certificate) {
        index_.forget_certificate(*suspect.certificate);
    }
    note_hole(suspect.record, suspect.record);
    damage_.add(error.message);
}

// ------------------------------------------------------------------------------------------------ records

Result<ByteView> DurableLog::record_bytes(const ReadTxn& txn, LogSequence sequence) const {
    const auto sealed = txn.get(records_table, sequence_key(sequence));
    if (!sealed) {
        return tl::unexpected(damage_of(sequence, sealed.error()));
    }
    if (!*sealed) {
        return fail(Errc::corrupted, name_of_record(sequence) + " is missing");
    }
    return **sealed;
}

template <class Record>
Result<Record> DurableLog::read_record(const ReadTxn& txn, LogSequence sequence) const {
    const auto sealed = record_bytes(txn, sequence);
    if (!sealed) {
        return tl::unexpected(sealed.error());
    }
    auto record = open_any_record(sequence_key(sequence), *sealed);
    if (!record) {
        return tl::unexpected(damage_of(sequence, record.error()));
    }
    if (!*record || !std::holds_alternative<Record>(**record)) {
        return fail(Errc::corrupted, name_of_record(sequence) + " is of another kind");
    }
    return std::get<Record>(std::move(**record));
}
template <class Record>
Result<Record> DurableLog::read_support(const ReadTxn& txn, LogSequence sequence) const {
    auto record = read_record<Record>(txn, sequence);
    const auto kept = supports_.find(sequence);
    if (record || record.error().code != Errc::corrupted || kept == supports_.end()) {
        return record;
    }
    return std::get<Record>(kept->second);
}
// log_recovery.cpp reads these.
template Result<consensus::LockRecord> DurableLog::read_support(const ReadTxn&, LogSequence) const;
template Result<consensus::NewViewRecord> DurableLog::read_support(const ReadTxn&, LogSequence) const;
template Result<consensus::ViewChangeRecord> DurableLog::read_support(const ReadTxn&, LogSequence) const;

Result<BlockPtr> DurableLog::read_block(const ReadTxn& txn, const crypto::Digest& id, LogSequence sequence,
                                        Suspect& suspect) const {
    const auto sealed = record_bytes(txn, sequence);
    if (!sealed) {
        suspect = {sequence, id, true, {}};
        return tl::unexpected(sealed.error());
    }
    auto block = open_block(context_, sequence_key(sequence), *sealed);
    if (block && (*block)->id == id) {
        return block;
    }
    const auto head = open_block_head(context_, *sealed);
    suspect = {sequence, id, !head || head->ref.id != id, {}};
    return tl::unexpected(
        damage_of(sequence, block ? Error{Errc::corrupted, "it holds another block"} : block.error()));
}

Result<Header> DurableLog::read_header(const ReadTxn& txn, const crypto::Digest& id, LogSequence sequence,
                                       Suspect& suspect) const {
    const auto sealed = record_bytes(txn, sequence);
    if (!sealed) {
        suspect = {sequence, id, true, {}};
        return tl::unexpected(sealed.error());
    }
    const auto head = open_block_head(context_, *sealed);
    if (head && head->ref.id == id) {
        return head->header;
    }
    suspect = {sequence, id, true, {}};
    return tl::unexpected(damage_of(sequence, head ? Error{Errc::corrupted, "it holds another block"} : head.error()));
}

// ------------------------------------------------------------------------------------------------ blocks

Result<std::optional<BlockPtr>> DurableLog::read_by_id(const crypto::Digest& id, Suspect& suspect) const {
    LogSequence sequence = 0;
    {
        const std::shared_lock guard(mutex_);
        const BlockEntry* entry = index_.block(id);
        if (entry == nullptr) {
            return std::optional<BlockPtr>();
        }
        if (entry->damaged) {
            return fail(Errc::corrupted, name_of_record(entry->sequence) + ": its block is damaged");
        }
        sequence = entry->sequence;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    return read_block(**txn, id, sequence, suspect).map([](BlockPtr&& block) {
        return std::optional(std::move(block));
    });
}

Result<std::optional<BlockPtr>> DurableLog::block(const crypto::Digest& id) const {
    return steady([&](Suspect& suspect) { return read_by_id(id, suspect); });
}

Result<std::optional<BlockPtr>> DurableLog::committed_block(Height height) const {
    crypto::Digest id;
    {
        const std::shared_lock guard(mutex_);
        id = height > index_.base().height ? index_.committed_id(height) : crypto::Digest();
    }
    return id.is_zero() ? Result<std::optional<BlockPtr>>(std::optional<BlockPtr>()) : block(id);
}

std::vector<DurableLog::Step> DurableLog::steps(Height from, Height last) const {
    std::vector<Step> found;
    for (Height at = from; at <= last; at = at.next()) {
        const crypto::Digest id = index_.committed_id(at);
        const BlockEntry* entry = id.is_zero() ? nullptr : index_.block(id);
        if (entry == nullptr) {
            break;
        }
        found.push_back({id, entry->sequence, entry->damaged});
    }
    return found;
}

bool DurableLog::has_certificates() const {
    return options_.fault_model ? *options_.fault_model == consensus::FaultModel::byzantine : index_.has_certificates();
}

// Last height of an answer of the heights `from` .. `last`: the highest with a certificate, `top` or below if there is
// one there. Crash mode has no certificates and takes what fits. Zero: none, as when all of them rotted.
Height DurableLog::end_of_range(Height from, Height last, Height top) const {
    const Height bound = std::min(top, last);
    if (!has_certificates()) {
        return bound >= from ? bound : Height(0);
    }
    const auto& certificates = index_.certificates();
    const auto beyond = certificates.upper_bound(bound);
    if (beyond != certificates.begin() && std::prev(beyond)->first >= from) {
        return std::prev(beyond)->first;
    }
    return beyond != certificates.end() && beyond->first >= from && beyond->first <= last ? beyond->first : Height(0);
}

Result<CommittedRange> DurableLog::read_range(Height from, Height top, std::size_t bytes_max, Suspect& suspect) const {
    CommittedRange range;
    std::vector<Step> wanted;
    std::optional<LogSequence> certificate;
    Height end;
    {
        const std::shared_lock guard(mutex_);
        from = std::max(from, Height(1));
        if (from <= index_.base().height || from > index_.committed().height) {
            return range;
        }
        wanted = steps(from, std::min(index_.committed().height, from.plus(limits::fetch_blocks_max - 1)));
        if (wanted.empty() || wanted.front().damaged) {
            return fail(Errc::corrupted, "the block at height " + std::to_string(from.value) + " is damaged");
        }
        end = end_of_range(from, from.plus(wanted.size() - 1), top);
        wanted.resize(end >= from ? end.value - from.value + 1 : 0);
        if (const auto found = index_.certificates().find(end); found != index_.certificates().end()) {
            certificate = found->second;
        }
    }
    if (wanted.empty()) {
        return range;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    std::size_t bytes = 0;
    bool more = true;  // bodies of the first ones, without a gap; one at least
    for (const Step& step : wanted) {
        auto header = read_header(**txn, step.id, step.sequence, suspect);
        if (!header) {
            return tl::unexpected(header.error());
        }
        const std::size_t size = header->body_bytes + consensus::header_bytes;
        more = more && !step.damaged && (bytes == 0 || bytes + size <= bytes_max);
        range.headers.push_back(std::move(*header));
        if (more) {
            bytes += size;
            auto block = read_block(**txn, step.id, step.sequence, suspect);
            if (!block) {
                return tl::unexpected(block.error());
            }
            range.blocks.push_back(std::move(*block));
        }
    }
    if (certificate) {
        auto commit = read_record<consensus::CommitRecord>(**txn, *certificate);
        if (!commit) {
            suspect.record = *certificate;
            suspect.certificate = end;
            return tl::unexpected(commit.error());
        }
        range.certificate = std::move(commit->certificate);
    }
    return range;
}

Result<CommittedRange> DurableLog::committed_range(Height from, Height top, std::size_t bytes_max) const {
    auto range = steady([&](Suspect& suspect) { return read_range(from, top, bytes_max, suspect); });
    if (range || range.error().code != Errc::corrupted) {
        return range;
    }
    // What is damaged is known now: the rest may do without it.
    Suspect ignored;
    return read_range(from, top, bytes_max, ignored);
}

Height DurableLog::committed() const {
    const std::shared_lock guard(mutex_);
    return index_.whole().height;
}

Height DurableLog::first_height() const {
    const std::shared_lock guard(mutex_);
    return index_.base().height.next();
}

// ------------------------------------------------------------------------------------------------ evidence, proofs

Result<std::vector<consensus::Evidence>> DurableLog::evidence() const {
    const std::lock_guard at_rest(commit_mutex_);
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
        auto one = read_record<consensus::EvidenceRecord>(**txn, sequence);
        if (one) {
            found.push_back(std::move(one->evidence));
        } else if (one.error().code == Errc::corrupted) {
            Suspect suspect;
            suspect.record = sequence;
            note_damage(suspect, one.error());  // others hold it, too
        } else {
            return tl::unexpected(one.error());
        }
    }
    return found;
}

std::optional<DurableLog::ProofPlan> DurableLog::plan_proof(Height checkpoint) const {
    const std::uint64_t interval = options_.checkpoint_interval;
    const Height carrier = checkpoint.plus(interval);
    if (interval == 0 || checkpoint.value == 0 || checkpoint.value % interval != 0 ||
        carrier > index_.committed().height || checkpoint < index_.base().height) {
        return std::nullopt;
    }
    ProofPlan plan;
    plan.installed = index_.installed(checkpoint);
    if (const auto own = steps(checkpoint, checkpoint); !own.empty()) {
        plan.block = own.front();
    } else if (!plan.installed) {
        return std::nullopt;
    }
    Height certified = carrier;
    if (has_certificates()) {
        const auto found = index_.certificates().lower_bound(carrier);
        if (found == index_.certificates().end() || found->first > carrier.plus(limits::fetch_blocks_max - 1)) {
            return std::nullopt;
        }
        certified = found->first;
        plan.certificate = found->second;
    }
    plan.headers = steps(carrier, certified);
    const bool whole = plan.headers.size() == certified.value - carrier.value + 1;
    return whole ? std::optional(std::move(plan)) : std::nullopt;
}

Result<std::optional<consensus::CheckpointProof>> DurableLog::read_proof(Height checkpoint, Suspect& suspect) const {
    using Proof = std::optional<consensus::CheckpointProof>;
    std::optional<ProofPlan> plan;
    {
        const std::shared_lock guard(mutex_);
        plan = plan_proof(checkpoint);
    }
    if (!plan) {
        return Proof();
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    consensus::CheckpointProof proof;
    auto block = plan->block.sequence != 0
                     ? read_header(**txn, plan->block.id, plan->block.sequence, suspect)
                     : read_record<consensus::InstalledRecord>(**txn, *plan->installed)
                           .map([](const consensus::InstalledRecord& installed) { return installed.block; });
    if (!block) {
        return tl::unexpected(block.error());
    }
    proof.block = *block;
    for (const Step& step : plan->headers) {
        auto header = read_header(**txn, step.id, step.sequence, suspect);
        if (!header) {
            return tl::unexpected(header.error());
        }
        proof.headers.push_back(std::move(*header));
    }
    if (proof.headers.front().checkpoint != checkpoint) {
        return Proof();
    }
    if (plan->certificate) {
        auto commit = read_record<consensus::CommitRecord>(**txn, *plan->certificate);
        if (!commit) {
            suspect.record = *plan->certificate;
            suspect.certificate = proof.headers.back().height;
            return tl::unexpected(commit.error());
        }
        proof.commit = std::move(commit->certificate);
    }
    return Proof(std::move(proof));
}

Result<std::optional<consensus::CheckpointProof>> DurableLog::checkpoint_proof(Height checkpoint) const {
    auto proof = steady([&](Suspect& suspect) { return read_proof(checkpoint, suspect); });
    if (proof || proof.error().code != Errc::corrupted) {
        return proof;
    }
    Suspect ignored;
    return read_proof(checkpoint, ignored);
}

Height DurableLog::newest_checkpoint() const {
    const std::uint64_t interval = options_.checkpoint_interval;
    if (interval == 0) {
        return {};
    }
    Height top;
    Height base;
    {
        const std::shared_lock guard(mutex_);
        top = index_.committed().height;
        base = index_.base().height;
    }
    for (Height at(top.value / interval * interval); at.value > interval; at = at.minus(interval)) {
        const Height checkpoint = at.minus(interval);
        if (checkpoint < base) {
            break;
        }
        if (const auto proof = checkpoint_proof(checkpoint); proof && *proof) {
            return checkpoint;
        }
    }
    return {};
}

// ------------------------------------------------------------------------------------------------ damage

void DamageBook::add(std::string what) {
    constexpr std::size_t lines_max = 256;
    if (lines_.size() < lines_max) {
        lines_.push_back(std::move(what));
    } else {
        ++more_;
    }
}

std::vector<std::string> DamageBook::lines() const {
    std::vector<std::string> all = lines_;
    if (more_ > 0) {
        all.push_back("and " + std::to_string(more_) + " more");
    }
    return all;
}

std::vector<std::string> DurableLog::damage() const {
    const std::shared_lock guard(mutex_);
    return damage_.lines();
}

std::vector<BlockRef> DurableLog::damaged_blocks() const {
    constexpr std::size_t listed_max = 64;
    constexpr std::size_t unknown_max = 32;
    std::vector<BlockRef> found;
    std::size_t unknown = 0;
    const std::shared_lock guard(mutex_);
    if (damage_.empty() && index_.whole() == index_.committed()) {
        return found;
    }
    for (Height at = index_.base().height.next(); at <= index_.committed().height && found.size() < listed_max;
         at = at.next()) {
        const crypto::Digest id = index_.committed_id(at);
        const BlockEntry* entry = id.is_zero() ? nullptr : index_.block(id);
        if (id.is_zero() ? ++unknown <= unknown_max : entry == nullptr || entry->damaged) {
            found.push_back({at, id});
        }
    }
    return found;
}

}  // namespace loyal::kvstore
