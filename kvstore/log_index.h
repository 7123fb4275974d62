// LogIndex: where in the log things are, in memory, rebuilt at start. Blocks by id (several of one height may exist,
// from different views), the committed chain by height, certificates and messages by what they are looked up for. About
// 120 bytes a block. Not thread-safe: its owner guards it.
//
// The committed chain may have holes, where a record is damaged: ids are known from the children's parent links and
// from commit records, and a block that is stored again closes its hole.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/result.h"
#include "consensus/types.h"
#include "kvstore/log_records.h"

namespace loyal::kvstore {

struct BlockEntry {
    LogSequence sequence = 0;
    consensus::Height height;
    crypto::Digest parent;
    bool damaged = false;  // its header is intact, its body is not
};

class LogIndex {
 public:
    // The committed chain begins above `base`. Without one, below the first chain that is committed.
    explicit LogIndex(std::optional<consensus::BlockRef> base) : base_(std::move(base)) {
        if (base_) {
            committed_ = whole_ = *base_;
        }
    }

    // The newest record of an id wins: a block whose record rotted may be stored again.
    [[nodiscard]] Result<void> add_block(const consensus::BlockRef& block, const crypto::Digest& parent,
                                         LogSequence sequence);
    void add_lock(consensus::View view, consensus::Height target, LogSequence sequence);
    void add_new_view(consensus::View view, LogSequence sequence) { new_views_[view] = sequence; }
    void add_view_change(consensus::View view, LogSequence sequence) { view_changes_[view] = sequence; }
    void add_evidence(const crypto::Digest& id, LogSequence sequence) { evidence_[id] = sequence; }
    void add_certificate(consensus::Height target, LogSequence sequence);
    // Indexes the chain from `block` down to what was committed before. Errc::conflict when another block is committed
    // at a height of it.
    [[nodiscard]] Result<void> add_commit(const consensus::BlockRef& block, bool certified);
    // A state came by transfer: the chain begins above `block`, unless what is kept reaches below it already.
    [[nodiscard]] Result<void> add_installed(const consensus::BlockRef& block, LogSequence sequence);

    // The base after that.
    [[nodiscard]] consensus::BlockRef base_with(const consensus::BlockRef& installed) const;

    // ---- Forgetting
    // Of what is looked up by the voting state, what it has left behind.
    void forget_below(const consensus::VotingState& voting);
    // The chain begins above `base` from now on, unless it begins higher already.
    void raise_base(const consensus::BlockRef& base);
    // The record is deleted. Later records of the same thing are not touched.
    void forget_record(LogSequence sequence, const crypto::Digest& block);
    void forget_commit(LogSequence sequence, consensus::Height height);
    void forget_certificate(consensus::Height height) { certificates_.erase(height); }
    void mark_damaged(const crypto::Digest& id, bool header_too);
    // Nothing is in these records any more.
    void forget_records(LogSequence first, LogSequence last);

    [[nodiscard]] const BlockEntry* block(const crypto::Digest& id) const;
    // The block in that record; looks through all of them.
    [[nodiscard]] std::optional<consensus::BlockRef> block_in(LogSequence sequence) const;
    [[nodiscard]] std::optional<LogSequence> lock(const consensus::Lock& lock) const;
    [[nodiscard]] std::optional<LogSequence> new_view(consensus::View view) const;
    [[nodiscard]] std::optional<LogSequence> view_change(consensus::View view) const;
    [[nodiscard]] const std::map<consensus::Height, LogSequence>& certificates() const { return certificates_; }
    [[nodiscard]] const std::map<crypto::Digest, LogSequence>& evidence() const { return evidence_; }
    [[nodiscard]] std::optional<LogSequence> installed(consensus::Height height) const;
    // A certificate was seen, a commit without one was seen: which fault model wrote this log.
    [[nodiscard]] bool has_certificates() const { return any_certificate_; }
    [[nodiscard]] bool has_bare_commits() const { return any_bare_commit_; }
    // Highest committed block, whether all below it is here or not.
    [[nodiscard]] const consensus::BlockRef& committed() const { return committed_; }
    // Highest committed block whose whole chain above base() is here.
    [[nodiscard]] const consensus::BlockRef& whole() const { return whole_; }
    [[nodiscard]] consensus::BlockRef base() const { return base_.value_or(consensus::BlockRef()); }
    // base().height .. committed().height; zero: not known.
    [[nodiscard]] crypto::Digest committed_id(consensus::Height height) const;

 private:
    [[nodiscard]] Result<void> fill(consensus::BlockRef at);
    void extend(const consensus::BlockRef& block);
    void advance();
    [[nodiscard]] crypto::Digest* slot(consensus::Height height);

    std::unordered_map<crypto::Digest, BlockEntry> blocks_;
    std::optional<consensus::BlockRef> base_;
    std::deque<crypto::Digest> chain_;  // ids of the committed heights base + 1, base + 2, ...
    consensus::BlockRef committed_;
    consensus::BlockRef whole_;
    std::map<consensus::Height, LogSequence> certificates_;
    std::map<std::pair<std::int64_t, std::uint64_t>, LogSequence> locks_;  // by rank
    bool any_certificate_ = false;
    bool any_bare_commit_ = false;
    std::map<consensus::View, LogSequence> new_views_;
    std::map<consensus::View, LogSequence> view_changes_;
    std::map<crypto::Digest, LogSequence> evidence_;
    std::map<consensus::Height, LogSequence> installed_;
};

// What a record adds to the index once it is durable; empty for a voting state.
using IndexChange = std::function<Result<void>(LogIndex&)>;
[[nodiscard]] IndexChange change_of(const consensus::ClusterContext& context, const consensus::LogRecord& record,
                                    LogSequence sequence);

}  // namespace loyal::kvstore
