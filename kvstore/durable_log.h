// The inside of ConsensusLog, shared by the files that each hold one concern of it: log_recovery.cpp (start, recover),
// log_append.cpp, log_truncation.cpp, log_mending.cpp, log_reading.cpp. Private to kvstore/.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "kvstore/consensus_log.h"
#include "kvstore/log_index.h"
#include "kvstore/log_records.h"
#include "kvstore/vote_copies.h"

namespace loyal::kvstore {

// What was found wrong, in words. Bounded.
class DamageBook {
 public:
    void add(std::string what);
    [[nodiscard]] std::vector<std::string> lines() const;
    [[nodiscard]] bool empty() const { return lines_.empty(); }

 private:
    std::vector<std::string> lines_;
    std::uint64_t more_ = 0;
};

class DurableLog final : public ConsensusLog {
 public:
    enum class Writes { allowed, never };  // never: only looked at, what a start would write is not written
    DurableLog(Store& store, const consensus::ClusterContext& context, const LogOptions& options,
               Writes writes = Writes::allowed);

    [[nodiscard]] Result<void> load();
    // recover() without blocks and messages.
    [[nodiscard]] consensus::Recovered votes() const;

    Result<void> append(const std::vector<consensus::Persist>& group) override;
    Result<void> begin_above(const consensus::BlockRef& executed) override;
    Result<consensus::Recovered> recover(const consensus::BlockRef& executed) const override;
    Result<std::optional<consensus::BlockPtr>> block(const crypto::Digest& id) const override;
    Result<std::optional<consensus::BlockPtr>> committed_block(consensus::Height height) const override;
    Result<CommittedRange> committed_range(consensus::Height from, consensus::Height top,
                                           std::size_t bytes_max) const override;
    Result<std::vector<consensus::Evidence>> evidence() const override;
    consensus::Height committed() const override;
    consensus::Height first_height() const override;
    std::uint64_t used_bytes() const override { return store_.used_bytes(); }
    Result<std::optional<consensus::CheckpointProof>> checkpoint_proof(consensus::Height checkpoint) const override;
    consensus::Height newest_checkpoint() const override;
    void release_below(consensus::Height height) override;
    bool wants_append() const override {
        return truncating_.load(std::memory_order_acquire) || mending_.load(std::memory_order_acquire);
    }
    std::vector<std::string> damage() const override;
    std::vector<consensus::BlockRef> damaged_blocks() const override;
    Result<LogScrub> scrub(std::uint64_t from, std::size_t records_max) const override;
    LogRepairs repairs() const override;

 private:
    // What a transaction under way will have made of the log.
    // How far forgetting has come (log_truncation.cpp).
    struct Truncation {
        consensus::Height released;  // that was acted upon
        consensus::Height floor;     // records of blocks up to here may go
        LogSequence cut = 0;         // records below this one are looked at
    };
    struct Draft {
        LogSequence next = 1;
        LogSequence first = 1;
        consensus::BlockRef base;
        Truncation truncation;
        std::optional<consensus::VotingState> voting;
        std::vector<IndexChange> changes;
        std::vector<std::pair<LogSequence, consensus::LogRecord>> supports;
        std::vector<LogSequence> mended;  // holes, by their last number
        LogRepairs repairs;
    };

    // ---- Start: log_recovery.cpp
    struct Walk {
        LogSequence last = 0;
        std::vector<Bytes> unreadable_keys;
        bool lost_unknown = false;  // a record whose kind nobody can tell is gone
        bool copy_damaged = false;
    };
    [[nodiscard]] Result<LogSequence> last_sequence(const ReadTxn& txn, std::string& doubt);
    [[nodiscard]] Result<void> load_records(const ReadTxn& txn, const VotesFound& votes, Walk& walk);
    void load_entry(const RawEntry& entry, LogSequence sequence, Walk& walk);
    [[nodiscard]] std::string lost_support(const ReadTxn& txn, bool lost_unknown);

    [[nodiscard]] Result<void> repair(const std::vector<Bytes>& unreadable_keys);
    [[nodiscard]] std::optional<consensus::Certificate> lock_certificate(const ReadTxn& txn) const;
    [[nodiscard]] Result<void> recover_messages(const ReadTxn& txn, consensus::Recovered& out) const;
    using Found = std::map<std::pair<consensus::Height, crypto::Digest>, LogSequence>;
    void collect_chain(consensus::BlockRef from, consensus::Height floor, Found& out) const;
    [[nodiscard]] Result<std::vector<consensus::BlockPtr>> recover_blocks(const ReadTxn& txn,
                                                                          const consensus::Recovered& state) const;
    [[nodiscard]] consensus::BlockRef whole_above(const consensus::BlockRef& executed, std::string& mismatch) const;

    void load_supports(const ReadTxn& txn);

    // ---- Appending: log_append.cpp
    [[nodiscard]] Result<void> write_block(WriteTxn& txn, const consensus::BlockRecord& record, Draft& draft) const;
    [[nodiscard]] Result<void> write_record(WriteTxn& txn, const consensus::LogRecord& record, Draft& draft) const;
    [[nodiscard]] Draft new_draft() const;
    [[nodiscard]] Result<void> write_mark(WriteTxn& txn, Draft& draft) const;
    [[nodiscard]] Result<void> finish(WriteTxn& txn, Draft& draft);

    // ---- Forgetting: log_truncation.cpp
    enum class Fate { stays, moves, goes };
    void plan_truncation(Draft& draft);
    [[nodiscard]] Result<void> truncate(WriteTxn& txn, Draft& draft);
    [[nodiscard]] consensus::Height releasable() const;  // under `mutex_`
    [[nodiscard]] Fate fate_of(LogSequence sequence, ByteView sealed, Draft& draft,
                               std::optional<consensus::LogRecord>& moving) const;
    [[nodiscard]] Fate fate_of(LogSequence sequence, const consensus::LogRecord& record, Draft& draft) const;
    [[nodiscard]] bool is_support(LogSequence sequence, const Draft& draft) const;
    [[nodiscard]] bool leans_on(const consensus::VotingState& voting, LogSequence sequence) const;  // under `mutex_`

    // ---- Mending: log_mending.cpp
    struct Hole {  // damaged or missing records
        LogSequence first = 0;
        std::optional<consensus::BlockRef> block;  // that was in it; none: something else, or nobody knows
    };
    struct Gap {
        LogSequence first = 0;
        LogSequence last = 0;
    };
    [[nodiscard]] Result<void> mend(WriteTxn& txn, Draft& draft);
    [[nodiscard]] Result<void> mend_hole(WriteTxn& txn, LogSequence last, const Hole& hole, Draft& draft) const;
    [[nodiscard]] bool can_mend(LogSequence last, const Hole& hole,
                                const std::optional<consensus::VotingState>& voting) const;  // under `mutex_`
    [[nodiscard]] bool awaits_block(LogSequence last, const Hole& hole) const;               // under `mutex_`
    [[nodiscard]] std::optional<LogSequence> hole_of(const crypto::Digest& block) const;
    void note_hole(LogSequence first, LogSequence last) const;  // under `mutex_`
    [[nodiscard]] Result<std::vector<Gap>> look_through(LogSequence from, std::size_t records_max,
                                                        LogScrub& done) const;
    [[nodiscard]] Result<void> confirm(Gap gap) const;
    void note_damaged_record(LogSequence sequence, const Error& error, ByteView sealed) const;

    // ---- Reading: log_reading.cpp. What turned out to be damaged.
    struct Suspect {
        LogSequence record = 0;
        std::optional<crypto::Digest> block;
        bool header_too = false;
        std::optional<consensus::Height> certificate;
    };
    // Runs `read` again, with the index at rest, when it met damage; then notes what it suspects.
    template <class Read>
    [[nodiscard]] auto steady(Read read) const -> decltype(read(std::declval<Suspect&>()));
    [[nodiscard]] Result<ByteView> record_bytes(const ReadTxn& txn, LogSequence sequence) const;
    template <class Record>
    [[nodiscard]] Result<Record> read_record(const ReadTxn& txn, LogSequence sequence) const;
    // What the voting state leans on; what rotted since the start, from memory. With `commit_mutex_`, or at the start.
    template <class Record>
    [[nodiscard]] Result<Record> read_support(const ReadTxn& txn, LogSequence sequence) const;
    [[nodiscard]] Result<consensus::BlockPtr> read_block(const ReadTxn& txn, const crypto::Digest& id,
                                                         LogSequence sequence, Suspect& suspect) const;
    [[nodiscard]] Result<consensus::Header> read_header(const ReadTxn& txn, const crypto::Digest& id,
                                                        LogSequence sequence, Suspect& suspect) const;
    [[nodiscard]] Result<std::optional<consensus::BlockPtr>> read_by_id(const crypto::Digest& id,
                                                                        Suspect& suspect) const;
    [[nodiscard]] Result<CommittedRange> read_range(consensus::Height from, consensus::Height top,
                                                    std::size_t bytes_max, Suspect& suspect) const;
    struct Step {  // one block on the committed chain
        crypto::Digest id;
        LogSequence sequence = 0;
        bool damaged = false;
    };
    // Under `mutex_`: the blocks of `from` .. `last`, up to the first that is not here.
    [[nodiscard]] std::vector<Step> steps(consensus::Height from, consensus::Height last) const;
    [[nodiscard]] Result<std::optional<consensus::CheckpointProof>> read_proof(consensus::Height checkpoint,
                                                                               Suspect& suspect) const;
    struct ProofPlan {
        Step block;  // at the checkpoint; sequence 0: its header is in the record below
        std::optional<LogSequence> installed;
        std::vector<Step> headers;
        std::optional<LogSequence> certificate;
    };
    [[nodiscard]] std::optional<ProofPlan> plan_proof(consensus::Height checkpoint) const;  // under `mutex_`
    [[nodiscard]] bool has_certificates() const;
    [[nodiscard]] consensus::Height end_of_range(consensus::Height from, consensus::Height last,
                                                 consensus::Height top) const;
    // Locks `mutex_`.
    void note_damage(const Suspect& suspect, const Error& error) const;

    Store& store_;
    consensus::ClusterContext context_;
    LogOptions options_;
    Writes writes_;

    // Of the appending thread.
    std::optional<consensus::VotingState> voting_;
    LogSequence next_ = 1;
    LogSequence first_ = 1;
    bool fresh_ = true;                                     // nothing was ever written here
    std::string votes_lost_;                                // why this start made the replica AMNESIAC
    std::map<LogSequence, consensus::LogRecord> supports_;  // what it leans on; changed under `commit_mutex_`

    std::atomic<std::uint64_t> released_{0};
    Truncation truncation_;  // under `mutex_`
    std::atomic<bool> truncating_{false};
    mutable std::atomic<bool> mending_{false};

    // Held while a transaction is committed and the index follows it, so that a reader who missed a record because it
    // was just moved can look again when both agree.
    mutable std::mutex commit_mutex_;
    // Guards the rest.
    mutable std::shared_mutex mutex_;
    mutable LogIndex index_;
    mutable DamageBook damage_;
    mutable std::map<LogSequence, Hole> holes_;  // by their last number
    LogRepairs repairs_;
};

// What a decoder calls invalid or contradictory is damage here: this replica wrote the record itself.
[[nodiscard]] Error damage_of(LogSequence sequence, Error error);

}  // namespace loyal::kvstore
