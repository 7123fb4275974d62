// Failure detection from observed times (PROTOCOL.md §11, T2 to T4 and L2): how regular a peer's heartbeats are (phi
// accrual: Hayashibara, Défago, Yared, Katayama, SRDS'04), how fast each leader orders what this replica was given, and
// which leaders failed lately. Estimates, never facts: they decide when to try another leader, and nothing else
// (Chandra and Toueg, JACM'96). Pure, bounded memory; one thread. Times are milliseconds of a clock that the caller
// has.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consensus/types.h"

namespace loyal::consensus {

// The last so many values of something.
class Samples {
 public:
    explicit Samples(std::size_t capacity) : capacity_(capacity) {}
    void add(std::uint64_t value);
    void clear();
    [[nodiscard]] std::size_t size() const { return values_.size(); }
    // The smallest of them that `percent` in a hundred do not exceed; none when there are none.
    [[nodiscard]] std::optional<std::uint64_t> percentile(std::uint64_t percent) const;
    // Moments of what is kept now.
    [[nodiscard]] double mean() const;
    [[nodiscard]] double deviation() const;

 private:
    std::size_t capacity_;
    std::vector<std::uint64_t> values_;  // a ring once it is full
    std::size_t next_ = 0;
    std::uint64_t sum_ = 0, sum_of_squares_ = 0;
};

// -log10 of the probability that a normally distributed interval lasts longer than `elapsed_ms`; 0 to phi_max.
inline constexpr double phi_max = 100;
[[nodiscard]] double phi_of(double elapsed_ms, double mean_ms, double deviation_ms);

// Heartbeats of one peer: the last 200 intervals, each clipped to [expected, 4 * expected], so that neither a burst nor
// slowly growing pauses train it. The deviation is never taken for less than `expected`: machines pause.
class HeartbeatWindow {
 public:
    // Forgets everything: the peer has another role from now on.
    void restart(std::uint64_t now_ms, std::uint64_t expected_ms);
    void arrived(std::uint64_t now_ms);
    [[nodiscard]] std::uint64_t silence_ms(std::uint64_t now_ms) const {
        return now_ms > last_ms_ ? now_ms - last_ms_ : 0;
    }
    // Enough intervals for phi to mean something.
    [[nodiscard]] bool trained() const;
    // Before that it goes by the expected interval alone.
    [[nodiscard]] double phi(std::uint64_t now_ms) const;
    [[nodiscard]] double interval_ms() const { return average_ms_; }  // EWMA (as in TCP, Jacobson, SIGCOMM'88)

 private:
    std::uint64_t expected_ms_ = 1;
    std::uint64_t last_ms_ = 0;
    std::uint64_t sampled_ms_ = 0;  // end of the last sample; several signs within one interval are one
    std::uint64_t longest_ms_ = 0;  // silence since then
    double average_ms_ = 0;
    Samples intervals_{200};
};

// What leaders achieved, as seen from here, and whether the one that leads now falls behind it (T2, T3). Prime's order
// statistics (Amir et al., DSN'08) per leader: a leader's own times never count for itself, so it can train nothing.
class LeaderBook {
 public:
    struct Limits {
        std::size_t replicas = 4;
        std::size_t faults = 1;  // f
        std::uint64_t order_latency_ms = 50;
        std::uint64_t order_latency_max_ms = 20'000;  // no sample is worth more
        bool own_samples_count = false;               // mutant: the current leader's times train its own time-out
    };
    explicit LeaderBook(const Limits& limits);

    // The last tenure is over and its figures stand; another begins.
    void begin_tenure(ReplicaId leader, std::uint64_t now_ms);
    // An envelope that this replica was given is committed, so long after the leader had it.
    void ordered(std::uint64_t latency_ms);
    // Work of a committed block of this tenure: see work_of().
    void committed(std::uint64_t work);
    // Each tick: whether something waits that the leader should have proposed.
    void waiting(bool backlog);
    // At each tick. Why the leader is too slow, once it was for three windows of two seconds.
    enum class Slow : std::uint8_t { no, late, few };
    [[nodiscard]] Slow check(std::uint64_t now_ms);

    // Lhat: the (f+1)-th smallest, over the other leaders, of the p90 order latency in their last tenures; who never
    // led stands for L0. At most f of these are lies, so it lies between honest ones.
    [[nodiscard]] std::uint64_t expected_latency_ms(ReplicaId leader) const;
    // The (f+1)-th largest rate of the other leaders, in work a second.
    [[nodiscard]] std::uint64_t expected_rate(ReplicaId leader) const;
    [[nodiscard]] std::optional<std::uint64_t> latency_ms(ReplicaId leader) const;
    [[nodiscard]] std::uint64_t slow_windows() const { return slow_windows_; }

    static constexpr std::uint64_t window_ms = 2'000;
    static constexpr std::uint64_t slow_windows_max = 3;
    static constexpr std::uint64_t slow_factor = 4;

 private:
    struct Record {
        std::optional<std::uint64_t> latency_ms;  // p90 of the last tenure that had enough samples
        std::uint64_t rate = 0;
    };
    void end_tenure();
    void close_window(std::uint64_t now_ms);
    [[nodiscard]] std::vector<std::uint64_t> of_others(ReplicaId leader,
                                                       std::uint64_t (*value)(const Limits&, const Record&)) const;

    Limits limits_;
    std::vector<Record> records_;
    // The tenure under way.
    std::optional<ReplicaId> leader_;
    Samples tenure_latencies_{1024};
    std::uint64_t best_rate_ = 0;
    bool had_backlog_ = false;
    // Its window under way.
    std::uint64_t window_began_ms_ = 0;
    Samples window_latencies_{256};
    std::uint64_t window_work_ = 0;
    std::uint64_t ticks_ = 0, backlog_ticks_ = 0;
    std::uint64_t slow_windows_ = 0;
    Slow last_slow_ = Slow::no;
};

// Counts what is new in committed blocks: a leader must not look busy by ordering old envelopes again. An operation
// counts once (sequence numbers only rise within a session), and each further KiB as one more, so that rates under
// small and large values compare. Knows the sessions that were active last, a bounded number.
class WorkMeter {
 public:
    [[nodiscard]] std::uint64_t work_of(const ClientId& client, SessionId session, Seq first, std::size_t count,
                                        std::size_t bytes);
    static constexpr std::size_t sessions_max = 4096;

 private:
    using Key = std::pair<ClientId, SessionId>;
    std::map<Key, std::uint64_t> reached_;  // one above the highest sequence number seen
    std::deque<Key> order_;
};

// L2 (Spinning's blacklist, SRDS'09, but local: nobody has to agree on it). The f leaders that were deposed by a
// time-out last, and how long a healthy one needs at least.
class Suspects {
 public:
    explicit Suspects(std::size_t replicas, std::size_t faults) : deposed_(replicas, 0), faults_(faults) {}
    void deposed(ReplicaId leader);
    // It had its turn and made progress.
    void cleared(ReplicaId leader);
    [[nodiscard]] bool suspected(ReplicaId leader) const;
    [[nodiscard]] std::uint64_t times_deposed(ReplicaId leader) const { return deposed_.at(leader.value); }

    void synced(std::uint64_t ms) { syncs_.add(ms); }     // a log sync took so long
    void prepared(std::uint64_t ms) { phases_.add(ms); }  // from a proposal's arrival to its quorum of votes
    // 2 * RTT + 4 * p99 of a log sync; `unknown_ms` stands for what was never measured.
    [[nodiscard]] std::uint64_t first_timeout_ms(std::uint64_t unknown_ms) const;

 private:
    std::deque<ReplicaId> recent_;  // newest first, at most f
    std::vector<std::uint64_t> deposed_;
    std::size_t faults_;
    Samples syncs_{256};
    Samples phases_{256};
};

}  // namespace loyal::consensus
