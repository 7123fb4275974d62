// ClockSync: how far the clocks of the other replicas are from this replica's, how sure that is, and whether this
// replica's clock is among the majority. Each peer is asked for its time once in a while; the four readings of an
// exchange bound its offset (Mills, RFC 5905 §8), the best of the last exchanges is kept (§10) and grows stale with the
// drift that clocks may have. Over all replicas' intervals, the own one included, the points that lie in at least n - f
// of them are where correct clocks are (Marzullo and Owicki, PODC'83): what f liars say moves nothing beyond that.
//
// For operators only: neither the protocol nor the hybrid clock ever sees a peer's clock (docs/PROTOCOL.md §12, H4).
//
// Pure and single-threaded: the caller reads its clock, sends the probes and hands over what arrives. Offsets are those
// of a peer's clock minus this replica's, in microseconds: positive is ahead. What a peer says may be any number; an
// answer that nobody asked for or that no clock can give is dropped and counted. Memory is bounded: some probes and
// exchanges a peer.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consensus/messages.h"

namespace loyal::replica {

struct ClockInterval {
    std::int64_t low_us = 0, high_us = 0;
    [[nodiscard]] std::int64_t middle_us() const { return low_us + (high_us - low_us) / 2; }
    [[nodiscard]] std::int64_t half_us() const { return (high_us - low_us + 1) / 2; }
    [[nodiscard]] ClockInterval widened(std::int64_t by_us) const { return {low_us - by_us, high_us + by_us}; }
    // How far `other` is from this interval; 0 when they share a point. Positive: it is above.
    [[nodiscard]] std::int64_t gap_to(const ClockInterval& other) const;
    friend bool operator==(const ClockInterval&, const ClockInterval&) = default;
};
// From the lowest to the highest point that lies in at least `need` of the intervals; nothing if no point does. If at
// most (number - need) of them are false, the true value is in it.
[[nodiscard]] std::optional<ClockInterval> agreement(const std::vector<ClockInterval>& intervals, std::size_t need);

struct PeerClock {
    std::int64_t offset_us = 0;
    std::int64_t uncertainty_us = 0;  // the true offset is within offset +- uncertainty
    std::int64_t round_trip_us = 0;   // of the exchange that says so
    std::uint64_t age_ms = 0;         // since then
};

enum class ClockVerdict : std::uint8_t {
    unknown,    // fewer than n - f clocks are known
    inside,     // this replica's clock is where n - f clocks are
    outside,    // n - f clocks agree, and this replica's is not with them
    scattered,  // no n - f clocks are within the precision that the protocol assumes
};
[[nodiscard]] const char* name_of(ClockVerdict verdict);

struct ClockView {
    ClockVerdict verdict = ClockVerdict::unknown;
    // Inside and outside only: this replica's clock against the middle of the majority's interval, and half of that.
    std::int64_t offset_us = 0;
    std::int64_t uncertainty_us = 0;
    std::int64_t outside_by_us = 0;               // from the interval's edge; 0 unless outside
    std::vector<std::optional<PeerClock>> peers;  // by replica id; own entry empty

    // Since start.
    std::uint64_t probes = 0, answers = 0;
    std::uint64_t unasked = 0;     // answers that match no probe that is under way
    std::uint64_t impossible = 0;  // answers that no clock can give
    std::uint64_t own_jumps = 0;
    std::vector<std::uint64_t> peer_jumps;  // by replica id
};

struct ClockSyncOptions {
    consensus::ReplicaId self;
    std::size_t replicas = 0;
    std::size_t faults = 0;          // f
    std::int64_t spread_max_us = 0;  // correct clocks are within this of real time: half of PRECISION
    std::uint64_t interval_ms = 1'000;
    std::uint64_t first_interval_ms = 250;  // of the first probes
    std::int64_t drift_ppm = 500;           // of one clock against another, at most
};

class ClockSync {
 public:
    explicit ClockSync(const ClockSyncOptions& options);

    // `now_ms` of a clock that never goes back; `own_us` is always this replica's clock, now. Who is to be sent a
    // probe: each peer once an interval, one after the other.
    [[nodiscard]] std::vector<std::pair<consensus::ReplicaId, consensus::ClockProbe>> tick(std::uint64_t now_ms,
                                                                                           std::uint64_t own_us);
    // Nothing when the peer asks more often than anybody needs to know.
    [[nodiscard]] std::optional<consensus::ClockAnswer> probed(consensus::ReplicaId from,
                                                               const consensus::ClockProbe& probe,
                                                               std::uint64_t own_us);
    void answered(consensus::ReplicaId from, const consensus::ClockAnswer& answer, std::uint64_t own_us);

    [[nodiscard]] ClockView view(std::uint64_t own_us) const;
    // Lines for the log: jumps that were noticed. Bounded in number by time.
    [[nodiscard]] std::vector<std::string> take_notes();

 private:
    struct Sample {
        ClockInterval offset;
        std::int64_t round_trip_us = 0;
        std::uint64_t own_us = 0, at_ms = 0;
    };
    struct Jump {
        ClockInterval by;
        std::uint64_t at_ms = 0;
    };
    struct Peer {
        std::deque<std::uint64_t> under_way;  // probes, by their time
        std::deque<Sample> samples;
        std::uint64_t next_probe_ms = 0;
        std::uint64_t probes = 0;
        std::uint64_t asked_since_ms = 0, asked = 0;  // by the peer
        std::optional<Jump> jump;                     // not yet known whose it was
        std::uint64_t jumps = 0;
        std::optional<std::uint64_t> noted_ms;
    };

    void observe_own(std::uint64_t own_us);
    [[nodiscard]] std::optional<Sample> sample_of(const consensus::ClockAnswer& answer, std::uint64_t own_us) const;
    [[nodiscard]] ClockInterval aged(const Sample& sample, std::uint64_t own_us) const;
    [[nodiscard]] const Sample* best_of(const Peer& peer, std::uint64_t own_us) const;
    [[nodiscard]] std::vector<ClockInterval> intervals(std::uint64_t own_us) const;
    void on_jump(std::size_t index, const ClockInterval& by);
    void explain_jumps();
    void blame(std::size_t index);
    void own_jump(std::int64_t by_us);
    void note(std::optional<std::uint64_t>& last_ms, std::string text);

    ClockSyncOptions options_;
    std::vector<Peer> peers_;  // by replica id; the own entry is unused
    std::uint64_t now_ms_ = 0;
    std::uint64_t last_own_us_ = 0;
    std::optional<Jump> last_own_jump_;
    std::optional<std::uint64_t> own_noted_ms_;
    std::vector<std::string> notes_;
    std::uint64_t probes_ = 0, answers_ = 0, unasked_ = 0, impossible_ = 0, own_jumps_ = 0;
};

}  // namespace loyal::replica
