// LogIndex: where in the log things are, in memory, rebuilt at start. Blocks by id (several of one height may exist,
// from different views), the committed chain by height, certificates and messages by what they are looked up for. About
// 120 bytes a block. Not thread-safe: its owner guards it.
#pragma once

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
};

class LogIndex {
 public:
    explicit LogIndex(const consensus::BlockRef& genesis) : committed_(genesis) {}

    // The newest record of an id wins: a block whose record rotted may be stored again.
    void add_block(const consensus::BlockRef& block, const crypto::Digest& parent, LogSequence sequence);
    void add_lock(consensus::View view, consensus::Height target, LogSequence sequence);
    void add_new_view(consensus::View view, LogSequence sequence) { new_views_[view] = sequence; }
    void add_view_change(consensus::View view, LogSequence sequence) { view_changes_[view] = sequence; }
    void add_evidence(const crypto::Digest& id, LogSequence sequence) { evidence_.emplace(id, sequence); }
    void add_certificate(consensus::Height target, LogSequence sequence) { certificates_[target] = sequence; }
    // Indexes the chain from `block` down to what was committed before. While a block of it is missing the commit waits
    // for it. Errc::conflict when the chain does not extend the committed one.
    [[nodiscard]] Result<void> add_commit(const consensus::BlockRef& block);
    // Tries again what waits, after blocks were added.
    [[nodiscard]] Result<void> settle();
    // Locks of lower rank are not looked up any more.
    void forget_locks_below(const consensus::Lock& lock);

    [[nodiscard]] const BlockEntry* block(const crypto::Digest& id) const;
    [[nodiscard]] std::optional<LogSequence> lock(const consensus::Lock& lock) const;
    [[nodiscard]] std::optional<LogSequence> new_view(consensus::View view) const;
    [[nodiscard]] std::optional<LogSequence> view_change(consensus::View view) const;
    [[nodiscard]] const std::map<consensus::Height, LogSequence>& certificates() const { return certificates_; }
    [[nodiscard]] const std::map<crypto::Digest, LogSequence>& evidence() const { return evidence_; }
    [[nodiscard]] bool has_locks() const { return any_lock_; }
    [[nodiscard]] const consensus::BlockRef& committed() const { return committed_; }
    // 1 <= height <= committed().height (asserted).
    [[nodiscard]] const crypto::Digest& committed_id(consensus::Height height) const;

 private:
    std::unordered_map<crypto::Digest, BlockEntry> blocks_;
    std::vector<crypto::Digest> chain_;  // ids of the committed heights 1, 2, ...
    consensus::BlockRef committed_;
    std::optional<consensus::BlockRef> waiting_;
    std::map<consensus::Height, LogSequence> certificates_;
    std::map<std::pair<std::int64_t, std::uint64_t>, LogSequence> locks_;  // by rank
    bool any_lock_ = false;
    std::map<consensus::View, LogSequence> new_views_;
    std::map<consensus::View, LogSequence> view_changes_;
    std::map<crypto::Digest, LogSequence> evidence_;
};

// What a record adds to the index once it is durable; empty for a voting state.
using IndexChange = std::function<Result<void>(LogIndex&)>;
[[nodiscard]] IndexChange change_of(const consensus::LogRecord& record, LogSequence sequence);

}  // namespace loyal::kvstore
