// A consensus log in a folder of its own, and records to put into it.
#pragma once

#include "kvstore/log_records.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore::test {

inline consensus::BlockRef genesis() {
    return consensus::genesis_block(test_context());
}

inline consensus::Vote vote_of(std::uint16_t voter, const consensus::BlockPtr& block) {
    consensus::Vote vote;
    vote.view = block->header.view;
    vote.prep = block->ref();
    vote.com = block->ref();
    vote.voter = consensus::ReplicaId(voter);
    return vote;
}
inline consensus::Certificate certificate_of(consensus::CertKind kind, const consensus::BlockPtr& block) {
    consensus::Certificate certificate;
    certificate.kind = kind;
    certificate.view = block->header.view;
    certificate.target = block->header;
    certificate.votes = {vote_of(0, block), vote_of(1, block), vote_of(2, block)};
    return certificate;
}
inline consensus::CommitRecord commit_of(const consensus::BlockPtr& block, bool with_certificate = true) {
    consensus::CommitRecord record;
    record.block = block->ref();
    if (with_certificate) {
        record.certificate = certificate_of(consensus::CertKind::commit, block);
    }
    return record;
}
inline consensus::VotingState voting_for(const consensus::BlockPtr& prep, const consensus::BlockPtr& lock = nullptr) {
    consensus::VotingState voting;
    voting.prep = {prep->header.view, prep->ref()};
    voting.promised = voting.entered = prep->header.view;
    voting.lock.block = genesis();
    if (lock) {
        voting.lock = {consensus::LockView(lock->header.view), lock->ref()};
    }
    return voting;
}

class Log {
 public:
    Log() { open(); }
    explicit Log(LogOptions options) : options_(options) { open(); }
    void open() {
        store_ = open_log_store(folder_.path());
        log_ = must(ConsensusLog::open(*store_, test_context(), options_));
    }
    void close() {
        log_.reset();
        store_.reset();
    }
    void reopen() {
        close();
        open();
    }
    // Some line of the damage that was found has this in it.
    [[nodiscard]] bool damage_names(const std::string& part) const {
        const auto lines = log_->damage();
        return std::any_of(lines.begin(), lines.end(),
                           [&](const std::string& line) { return line.find(part) != std::string::npos; });
    }
    void append(std::vector<consensus::LogRecord> records) {
        std::vector<consensus::Persist> group(1);
        group[0].id = consensus::PersistId(++persists_);
        group[0].records = std::move(records);
        must(log_->append(group));
    }
    [[nodiscard]] consensus::Recovered recover(std::uint64_t executed = 0) const {
        return must(log_->recover({consensus::Height(executed), {}}));
    }
    [[nodiscard]] LmdbStore& store() { return *store_; }
    [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }
    // Changes the store below the log.
    template <class Change>
    void tamper(Change change) {
        auto txn = must(store_->begin_write());
        change(*txn);
        must(txn->commit(Durability::synced));
    }
    [[nodiscard]] Bytes stored(TableIndex table, ByteView key) {
        const auto txn = must(store_->begin_read());
        const auto value = must(txn->get(table, key));
        return {value->begin(), value->end()};
    }

    ConsensusLog* operator->() { return log_.get(); }
    [[nodiscard]] std::filesystem::path data_file() const { return folder_.path() / "log" / "data.mdb"; }

 private:
    TemporaryFolder folder_;
    std::unique_ptr<LmdbStore> store_;
    std::unique_ptr<ConsensusLog> log_;
    LogOptions options_;
    std::uint64_t persists_ = 0;
};

// A chain of `count` blocks on `parent`, each with one envelope of `value_bytes`.
inline std::vector<consensus::BlockPtr> chain_on(consensus::BlockPtr parent, std::size_t count,
                                                 std::size_t value_bytes = 10,
                                                 consensus::View view = consensus::View(0)) {
    std::vector<consensus::BlockPtr> chain;
    for (std::size_t i = 0; i < count; ++i) {
        Submission submission;
        submission.seq0 = (parent ? parent->header.height.value : 0) + 1;
        submission.operations = {put("key", std::string(value_bytes, 'v'))};
        parent = block_on(parent, {envelope_of(submission)}, start_ms + submission.seq0, view);
        chain.push_back(parent);
    }
    return chain;
}

inline std::vector<std::uint64_t> heights_of(const std::vector<consensus::BlockPtr>& blocks) {
    std::vector<std::uint64_t> heights;
    for (const auto& block : blocks) {
        heights.push_back(block->header.height.value);
    }
    return heights;
}

}  // namespace loyal::kvstore::test
