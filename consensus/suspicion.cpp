#include "consensus/suspicion.h"

#include <algorithm>
#include <cmath>

namespace loyal::consensus {
namespace {

constexpr std::size_t trained_intervals = 16;
constexpr std::uint64_t clip_factor = 4;
constexpr double average_weight = 0.125;               // of a new interval in the EWMA
constexpr std::uint64_t longest_interval_ms = 60'000;  // an interval is not worth more in the EWMA
constexpr std::size_t tenure_samples_min = 8;
constexpr std::size_t window_samples_min = 4;
constexpr std::uint64_t growth_max = 2;        // of a leader's latency from one tenure to the next
constexpr std::uint64_t backlog_percent = 50;  // of a window's ticks
constexpr std::size_t bytes_per_work = 1024;

}  // namespace

// ---- Samples

void Samples::add(std::uint64_t value) {
    if (values_.size() < capacity_) {
        values_.push_back(value);
    } else {
        sum_ -= values_[next_];
        sum_of_squares_ -= values_[next_] * values_[next_];
        values_[next_] = value;
        next_ = (next_ + 1) % capacity_;
    }
    sum_ += value;
    sum_of_squares_ += value * value;
}

void Samples::clear() {
    values_.clear();
    next_ = sum_ = sum_of_squares_ = 0;
}

std::optional<std::uint64_t> Samples::percentile(std::uint64_t percent) const {
    if (values_.empty()) {
        return std::nullopt;
    }
    std::vector<std::uint64_t> sorted = values_;
    const std::size_t rank = std::max<std::size_t>(1, (sorted.size() * percent + 99) / 100);
    const auto place = sorted.begin() + static_cast<std::ptrdiff_t>(rank - 1);
    std::nth_element(sorted.begin(), place, sorted.end());
    return *place;
}

double Samples::mean() const {
    return values_.empty() ? 0 : static_cast<double>(sum_) / static_cast<double>(values_.size());
}

double Samples::deviation() const {
    if (values_.size() < 2) {
        return 0;
    }
    const double average = mean();
    const double variance =
        static_cast<double>(sum_of_squares_) / static_cast<double>(values_.size()) - average * average;
    return variance > 0 ? std::sqrt(variance) : 0;
}

// ---- Phi accrual

double phi_of(double elapsed_ms, double mean_ms, double deviation_ms) {
    const double later = 0.5 * std::erfc((elapsed_ms - mean_ms) / (deviation_ms * std::sqrt(2.0)));
    return later > 0 ? std::clamp(-std::log10(later), 0.0, phi_max) : phi_max;
}

void HeartbeatWindow::restart(std::uint64_t now_ms, std::uint64_t expected_ms) {
    expected_ms_ = std::max<std::uint64_t>(1, expected_ms);
    last_ms_ = sampled_ms_ = now_ms;
    longest_ms_ = 0;
    average_ms_ = 0;
    intervals_.clear();
}

// One sample an expected interval, the longest silence in it: a leader that proposes a thousand times a second says no
// more about its pauses than one that sends heartbeats.
void HeartbeatWindow::arrived(std::uint64_t now_ms) {
    longest_ms_ = std::max(longest_ms_, silence_ms(now_ms));
    last_ms_ = std::max(last_ms_, now_ms);
    if (last_ms_ - sampled_ms_ < expected_ms_) {
        return;
    }
    sampled_ms_ = last_ms_;
    const auto interval = static_cast<double>(std::min(longest_ms_, longest_interval_ms));
    average_ms_ = intervals_.size() == 0 ? interval : average_ms_ + average_weight * (interval - average_ms_);
    intervals_.add(std::clamp(longest_ms_, expected_ms_, clip_factor * expected_ms_));
    longest_ms_ = 0;
}

bool HeartbeatWindow::trained() const {
    return intervals_.size() >= trained_intervals;
}

double HeartbeatWindow::phi(std::uint64_t now_ms) const {
    const auto expected = static_cast<double>(expected_ms_);
    const double mean = trained() ? intervals_.mean() : expected;
    const double deviation = trained() ? std::max(expected, intervals_.deviation()) : expected;
    return phi_of(static_cast<double>(silence_ms(now_ms)), mean, deviation);
}

// ---- Leaders

LeaderBook::LeaderBook(const Limits& limits) : limits_(limits), records_(limits.replicas) {}

void LeaderBook::begin_tenure(ReplicaId leader, std::uint64_t now_ms) {
    end_tenure();
    leader_ = leader;
    tenure_latencies_.clear();
    best_rate_ = 0;
    had_backlog_ = false;
    slow_windows_ = 0;
    last_slow_ = Slow::no;
    close_window(now_ms);
}

// What an attack on the network did to an honest leader's times must not stand for ever: they rise at most twofold from
// one tenure to the next, from L0 on, and fall at once (Prime's inflation).
void LeaderBook::end_tenure() {
    if (!leader_) {
        return;
    }
    Record& record = records_.at(leader_->value);
    if (tenure_latencies_.size() >= tenure_samples_min) {
        const std::uint64_t before = std::max(limits_.order_latency_ms, record.latency_ms.value_or(0));
        record.latency_ms = std::min(*tenure_latencies_.percentile(90), growth_max * before);
    }
    // Without a backlog the clients set the rate, not the leader: that says nothing about what it could do less.
    record.rate = had_backlog_ ? best_rate_ : std::max(record.rate, best_rate_);
}

void LeaderBook::ordered(std::uint64_t latency_ms) {
    const std::uint64_t sample = std::min(latency_ms, limits_.order_latency_max_ms);
    tenure_latencies_.add(sample);
    window_latencies_.add(sample);
}

void LeaderBook::committed(std::uint64_t work) {
    window_work_ += work;
}

void LeaderBook::waiting(bool backlog) {
    ++ticks_;
    backlog_ticks_ += backlog ? 1 : 0;
}

void LeaderBook::close_window(std::uint64_t now_ms) {
    window_began_ms_ = now_ms;
    window_latencies_.clear();
    window_work_ = ticks_ = backlog_ticks_ = 0;
}

LeaderBook::Slow LeaderBook::check(std::uint64_t now_ms) {
    if (!leader_ || now_ms - window_began_ms_ < window_ms) {
        return Slow::no;
    }
    const std::uint64_t rate = window_work_ * 1'000 / (now_ms - window_began_ms_);
    const bool backlog = ticks_ > 0 && backlog_ticks_ * 100 >= ticks_ * backlog_percent;
    // A client can make envelopes look late by no more than L0 (C2): below that nothing is read into them.
    const std::uint64_t normal_ms = std::max(limits_.order_latency_ms, expected_latency_ms(*leader_));
    const bool judged = window_latencies_.size() >= window_samples_min;
    Slow slow = Slow::no;
    if (judged && *window_latencies_.percentile(50) > slow_factor * normal_ms) {
        slow = Slow::late;
    } else if (backlog && 2 * rate < expected_rate(*leader_)) {
        slow = Slow::few;
    }
    if (slow != Slow::no) {
        ++slow_windows_;
        last_slow_ = slow;
    } else if (judged || backlog || window_work_ > 0) {
        slow_windows_ = 0;
    }
    best_rate_ = std::max(best_rate_, rate);
    had_backlog_ = had_backlog_ || backlog;
    close_window(now_ms);
    return slow != Slow::no && slow_windows_ >= slow_windows_max ? last_slow_ : Slow::no;
}

std::vector<std::uint64_t> LeaderBook::of_others(ReplicaId leader,
                                                 std::uint64_t (*value)(const Limits&, const Record&)) const {
    std::vector<std::uint64_t> values;
    for (std::size_t i = 0; i < records_.size(); ++i) {
        if (i != leader.value) {
            values.push_back(value(limits_, records_[i]));
        }
    }
    std::sort(values.begin(), values.end());
    return values;
}

std::uint64_t LeaderBook::expected_latency_ms(ReplicaId leader) const {
    if (limits_.own_samples_count && leader_ == leader && tenure_latencies_.size() >= tenure_samples_min) {
        return *tenure_latencies_.percentile(90);
    }
    const auto values = of_others(leader, [](const Limits& limits, const Record& record) {
        return record.latency_ms.value_or(limits.order_latency_ms);
    });
    return values.at(std::min(limits_.faults, values.size() - 1));
}

std::uint64_t LeaderBook::expected_rate(ReplicaId leader) const {
    const auto values = of_others(leader, [](const Limits&, const Record& record) { return record.rate; });
    return values.at(values.size() - 1 - std::min(limits_.faults, values.size() - 1));
}

std::optional<std::uint64_t> LeaderBook::latency_ms(ReplicaId leader) const {
    return records_.at(leader.value).latency_ms;
}

// ---- Work

std::uint64_t WorkMeter::work_of(const ClientId& client, SessionId session, Seq first, std::size_t count,
                                 std::size_t bytes) {
    const Key key{client, session};
    auto place = reached_.find(key);
    if (place == reached_.end()) {
        if (order_.size() >= sessions_max) {
            reached_.erase(order_.front());
            order_.pop_front();
        }
        place = reached_.emplace(key, 0).first;
        order_.push_back(key);
    }
    const std::uint64_t end = first.value + count;
    if (end <= place->second) {
        return 0;
    }
    const std::uint64_t fresh = std::min<std::uint64_t>(count, end - place->second);
    place->second = end;
    return fresh + bytes / bytes_per_work;
}

// ---- Suspects

void Suspects::deposed(ReplicaId leader) {
    ++deposed_.at(leader.value);
    std::erase(recent_, leader);
    recent_.push_front(leader);
    if (recent_.size() > faults_) {
        recent_.pop_back();
    }
}

void Suspects::cleared(ReplicaId leader) {
    std::erase(recent_, leader);
}

bool Suspects::suspected(ReplicaId leader) const {
    return std::find(recent_.begin(), recent_.end(), leader) != recent_.end();
}

// A phase is one delay and one sync, so what it takes beyond the usual sync is half a round trip.
std::uint64_t Suspects::first_timeout_ms(std::uint64_t unknown_ms) const {
    const auto phase = phases_.percentile(90);
    const std::uint64_t usual_sync = syncs_.percentile(50).value_or(0);
    const std::uint64_t half_trip = phase ? *phase - std::min(*phase, usual_sync) : unknown_ms;
    return 2 * 2 * half_trip + 4 * syncs_.percentile(99).value_or(unknown_ms);
}

}  // namespace loyal::consensus
