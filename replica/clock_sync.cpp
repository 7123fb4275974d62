#include "replica/clock_sync.h"

#include <algorithm>
#include <cstdlib>

namespace loyal::replica {
namespace {

// Times are 48 bits of milliseconds at most (the hlc's); differences of such always fit.
constexpr std::uint64_t time_us_max = (std::uint64_t{1} << 48U) * 1'000;
// A clock is read in whole microseconds.
constexpr std::int64_t reading_error_us = 1;
constexpr std::size_t under_way_max = 8;  // an answer may be so many intervals late
constexpr std::size_t samples_max = 8;    // RFC 5905 §10
constexpr std::uint64_t first_probes = 8;
constexpr std::uint64_t first_probe_ms = 100;
constexpr std::uint64_t sample_age_max_ms = 30'000;
constexpr std::uint64_t answers_per_second_max = 16;
// What is less may be a clock that is being slewed (SlewedClock: 20 ms a second).
constexpr std::int64_t jump_min_us = 50'000;
// A jump of the own clock shows in all peers' next answers; after so many intervals a jump was the peer's own.
constexpr std::uint64_t jump_settles_intervals = 2;
constexpr std::uint64_t notes_apart_ms = 10'000;

std::string in_ms(std::int64_t us) {
    return std::to_string(us / 1'000) + " ms";
}

}  // namespace

std::int64_t ClockInterval::gap_to(const ClockInterval& other) const {
    if (other.low_us > high_us) {
        return other.low_us - high_us;
    }
    return other.high_us < low_us ? other.high_us - low_us : 0;
}

std::optional<ClockInterval> agreement(const std::vector<ClockInterval>& intervals, std::size_t need) {
    // Edges from left to right; where they meet, intervals begin before others end, for they share that point.
    std::vector<std::pair<std::int64_t, int>> edges;
    for (const ClockInterval& each : intervals) {
        edges.emplace_back(each.low_us, -1);
        edges.emplace_back(each.high_us, +1);
    }
    std::sort(edges.begin(), edges.end());
    std::optional<ClockInterval> result;
    std::size_t depth = 0;
    for (const auto& [at_us, edge] : edges) {
        if (edge < 0) {
            ++depth;
            if (depth >= need && !result) {
                result = ClockInterval{at_us, at_us};
            }
        } else {
            if (depth >= need && result) {
                result->high_us = at_us;
            }
            --depth;
        }
    }
    return result;
}

const char* name_of(ClockVerdict verdict) {
    switch (verdict) {
        case ClockVerdict::inside: return "inside";
        case ClockVerdict::outside: return "outside";
        case ClockVerdict::scattered: return "scattered";
        case ClockVerdict::unknown: break;
    }
    return "unknown";
}

ClockSync::ClockSync(const ClockSyncOptions& options) : options_(options), peers_(options.replicas) {
    // Each replica begins with another peer, so that not all ask the same one at once.
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        const std::size_t turn = (i + peers_.size() - options.self.value % peers_.size()) % peers_.size();
        peers_[i].next_probe_ms = first_probe_ms + turn * options.first_interval_ms / peers_.size();
    }
}

// ---- Questions

std::vector<std::pair<consensus::ReplicaId, consensus::ClockProbe>> ClockSync::tick(std::uint64_t now_ms,
                                                                                    std::uint64_t own_us) {
    now_ms_ = std::max(now_ms_, now_ms);
    observe_own(own_us);
    std::vector<std::pair<consensus::ReplicaId, consensus::ClockProbe>> out;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        Peer& peer = peers_[i];
        if (i == options_.self.value) {
            continue;
        }
        if (peer.jump && now_ms_ - peer.jump->at_ms >= jump_settles_intervals * options_.interval_ms) {
            blame(i);
        }
        if (now_ms_ < peer.next_probe_ms) {
            continue;
        }
        ++probes_;
        peer.next_probe_ms =
            now_ms_ + (++peer.probes < first_probes ? options_.first_interval_ms : options_.interval_ms);
        // Two probes of one microsecond could not be told apart.
        if (peer.under_way.empty() || peer.under_way.back() != own_us) {
            peer.under_way.push_back(own_us);
        }
        if (peer.under_way.size() > under_way_max) {
            peer.under_way.pop_front();
        }
        out.emplace_back(consensus::ReplicaId(static_cast<std::uint16_t>(i)), consensus::ClockProbe{own_us});
    }
    return out;
}

std::optional<consensus::ClockAnswer> ClockSync::probed(consensus::ReplicaId from, const consensus::ClockProbe& probe,
                                                        std::uint64_t own_us) {
    if (from.value >= peers_.size()) {
        return std::nullopt;
    }
    observe_own(own_us);
    Peer& peer = peers_[from.value];
    if (now_ms_ - peer.asked_since_ms >= 1'000) {
        peer.asked_since_ms = now_ms_;
        peer.asked = 0;
    }
    if (++peer.asked > answers_per_second_max) {
        return std::nullopt;
    }
    return consensus::ClockAnswer{probe.sent_us, own_us, own_us};
}

// ---- Answers

void ClockSync::answered(consensus::ReplicaId from, const consensus::ClockAnswer& answer, std::uint64_t own_us) {
    if (from.value >= peers_.size() || from == options_.self) {
        ++unasked_;
        return;
    }
    observe_own(own_us);
    Peer& peer = peers_[from.value];
    const auto asked = std::find(peer.under_way.begin(), peer.under_way.end(), answer.probe_us);
    if (asked == peer.under_way.end()) {
        ++unasked_;
        return;
    }
    peer.under_way.erase(asked);
    const std::optional<Sample> sample = sample_of(answer, own_us);
    if (!sample) {
        ++impossible_;
        return;
    }
    ++answers_;
    if (const Sample* best = best_of(peer, own_us)) {
        const ClockInterval before = aged(*best, own_us);
        if (const std::int64_t gap_us = before.gap_to(sample->offset); gap_us != 0) {
            peer.samples.clear();  // what was true of it is no more
            if (std::abs(gap_us) >= jump_min_us) {
                on_jump(from.value, {sample->offset.low_us - before.high_us, sample->offset.high_us - before.low_us});
            }
        }
    }
    peer.samples.push_back(*sample);
    if (peer.samples.size() > samples_max) {
        peer.samples.pop_front();
    }
}

// The peer read `received` after the probe left and `sent` before the answer arrived: its offset is at most the first
// difference and at least the second; what lies between is the time on the way.
std::optional<ClockSync::Sample> ClockSync::sample_of(const consensus::ClockAnswer& answer,
                                                      std::uint64_t own_us) const {
    if (answer.received_us > time_us_max || answer.sent_us > time_us_max || answer.probe_us > time_us_max ||
        own_us > time_us_max || answer.sent_us < answer.received_us || own_us < answer.probe_us) {
        return std::nullopt;
    }
    const auto flight_us = static_cast<std::int64_t>(own_us - answer.probe_us);
    const std::int64_t error_us = reading_error_us + flight_us * options_.drift_ppm / 1'000'000;
    Sample sample;
    sample.offset =
        ClockInterval{static_cast<std::int64_t>(answer.sent_us) - static_cast<std::int64_t>(own_us),
                      static_cast<std::int64_t>(answer.received_us) - static_cast<std::int64_t>(answer.probe_us)}
            .widened(error_us);
    sample.round_trip_us = flight_us - static_cast<std::int64_t>(answer.sent_us - answer.received_us);
    sample.own_us = own_us;
    sample.at_ms = now_ms_;
    if (sample.offset.high_us < sample.offset.low_us) {
        return std::nullopt;  // it claims to have held the probe for longer than the exchange took
    }
    return sample;
}

// ---- Estimates

ClockInterval ClockSync::aged(const Sample& sample, std::uint64_t own_us) const {
    const std::uint64_t by_own_us = std::min(time_us_max, own_us > sample.own_us ? own_us - sample.own_us : 0);
    const std::uint64_t by_ticks_us = std::min(time_us_max / 1'000, now_ms_ - sample.at_ms) * 1'000;
    const auto age_us = static_cast<std::int64_t>(std::max(by_own_us, by_ticks_us));
    return sample.offset.widened(age_us / 1'000 * options_.drift_ppm / 1'000 + 1);
}

const ClockSync::Sample* ClockSync::best_of(const Peer& peer, std::uint64_t own_us) const {
    const Sample* best = nullptr;
    std::int64_t best_half_us = 0;
    for (const Sample& sample : peer.samples) {
        const std::int64_t half_us = aged(sample, own_us).half_us();
        if (now_ms_ - sample.at_ms <= sample_age_max_ms && (best == nullptr || half_us <= best_half_us)) {
            best = &sample;
            best_half_us = half_us;
        }
    }
    return best;
}

// The own clock's place is known no better than the exchanges tell: its interval around zero is as wide as theirs.
std::vector<ClockInterval> ClockSync::intervals(std::uint64_t own_us) const {
    std::vector<ClockInterval> result;
    std::vector<std::int64_t> halves;
    for (const Peer& peer : peers_) {
        if (const Sample* best = best_of(peer, own_us)) {
            result.push_back(aged(*best, own_us));
            halves.push_back(result.back().half_us());
        }
    }
    std::sort(halves.begin(), halves.end());
    result.push_back(ClockInterval{}.widened(halves.empty() ? 0 : halves[(halves.size() - 1) / 2]));
    return result;
}

// Correct clocks differ a little. The smallest spread at which n - f of them meet is searched for; there is none beyond
// what the protocol assumes of correct clocks.
ClockView ClockSync::view(std::uint64_t own_us) const {
    ClockView view;
    view.peers.resize(peers_.size());
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        view.peer_jumps.push_back(peers_[i].jumps);
        if (const Sample* best = best_of(peers_[i], own_us)) {
            const ClockInterval offset = aged(*best, own_us);
            view.peers[i] = PeerClock{offset.middle_us(), offset.half_us(), best->round_trip_us, now_ms_ - best->at_ms};
        }
    }
    view.probes = probes_;
    view.answers = answers_;
    view.unasked = unasked_;
    view.impossible = impossible_;
    view.own_jumps = own_jumps_;

    const std::vector<ClockInterval> known = intervals(own_us);
    const std::size_t need = options_.replicas - options_.faults;
    const auto meet = [&](std::int64_t spread_us) {
        std::vector<ClockInterval> wide;
        for (const ClockInterval& each : known) {
            wide.push_back(each.widened(spread_us));
        }
        return agreement(wide, need);
    };
    if (known.size() < need) {
        return view;
    }
    if (!meet(options_.spread_max_us)) {
        view.verdict = ClockVerdict::scattered;
        return view;
    }
    std::int64_t low_us = 0, high_us = options_.spread_max_us;  // they meet at `high_us`
    while (low_us < high_us) {
        const std::int64_t middle_us = low_us + (high_us - low_us) / 2;
        if (meet(middle_us)) {
            high_us = middle_us;
        } else {
            low_us = middle_us + 1;
        }
    }
    const ClockInterval majority = meet(high_us)->widened(high_us);
    view.offset_us = -majority.middle_us();
    view.uncertainty_us = majority.half_us();
    view.outside_by_us = std::abs(majority.gap_to(known.back()));
    view.verdict = view.outside_by_us == 0 ? ClockVerdict::inside : ClockVerdict::outside;
    return view;
}

// ---- Jumps

// A clock that goes back has jumped, and how long what is under way took is not known any more.
void ClockSync::observe_own(std::uint64_t own_us) {
    if (own_us < last_own_us_) {
        for (Peer& peer : peers_) {
            peer.under_way.clear();
            peer.samples.clear();
            peer.jump.reset();
        }
        own_jump(-static_cast<std::int64_t>(std::min(time_us_max, last_own_us_ - own_us)));
    }
    last_own_us_ = own_us;
}

void ClockSync::on_jump(std::size_t index, const ClockInterval& by) {
    if (last_own_jump_ && now_ms_ - last_own_jump_->at_ms < jump_settles_intervals * options_.interval_ms &&
        last_own_jump_->by.gap_to(by) == 0) {
        return;  // the same one, seen against this peer
    }
    if (peers_[index].jump) {
        blame(index);
    }
    peers_[index].jump = Jump{by, now_ms_};
    explain_jumps();
}

// All correct peers jump alike when it was this replica's clock that jumped, the other way.
void ClockSync::explain_jumps() {
    std::vector<ClockInterval> jumps;
    for (const Peer& peer : peers_) {
        if (peer.jump) {
            jumps.push_back(peer.jump->by);
        }
    }
    const std::size_t need = std::max(options_.replicas - 1 - options_.faults, options_.faults + 1);
    const std::optional<ClockInterval> common = agreement(jumps, need);
    if (!common) {
        return;
    }
    for (Peer& peer : peers_) {
        if (peer.jump && peer.jump->by.gap_to(*common) == 0) {
            peer.jump.reset();
        }
    }
    last_own_jump_ = Jump{*common, now_ms_};
    own_jump(-common->middle_us());
}

void ClockSync::blame(std::size_t index) {
    Peer& peer = peers_[index];
    ++peer.jumps;
    note(peer.noted_ms, "the clock of replica " + std::to_string(index) + " jumped by about " +
                            in_ms(peer.jump->by.middle_us()) + " against this replica's");
    peer.jump.reset();
}

void ClockSync::own_jump(std::int64_t by_us) {
    ++own_jumps_;
    note(own_noted_ms_, "this replica's clock jumped by about " + in_ms(by_us));
}

void ClockSync::note(std::optional<std::uint64_t>& last_ms, std::string text) {
    if (!last_ms || now_ms_ - *last_ms >= notes_apart_ms) {
        last_ms = now_ms_;
        notes_.push_back(std::move(text));
    }
}

std::vector<std::string> ClockSync::take_notes() {
    return std::exchange(notes_, {});
}

}  // namespace loyal::replica
