#include "client/lab/naive_store.h"

#include <algorithm>
#include <functional>
#include <random>

#include <fmt/format.h>

#include "client/lab/load.h"
#include "crypto/digest.h"
#include "replica/control.h"

namespace loyal::lab {

Result<void> NaiveStore::disturb(std::uint16_t replica, const std::string& line, std::uint64_t now_us) {
    const auto command = replica::parse_control("clock " + line, clocks_.size());
    if (!command) {
        return tl::unexpected(command.error());
    }
    const auto* fault = std::get_if<replica::ClockFault>(&*command);
    if (fault == nullptr) {
        return fail(Errc::invalid_argument, fmt::format("\"{}\" is nothing that can be done to a clock", line));
    }
    Clock& clock = clocks_[replica];
    using Kind = replica::ClockFault::Kind;
    switch (fault->kind) {
        case Kind::offset:
        case Kind::jump: clock.offset_us = fault->value * 1'000; break;
        case Kind::drift:
            clock.drift_ppm = fault->value;
            clock.drift_from_us = now_us;
            break;
        case Kind::freeze: clock.frozen_us = wall_us(replica, now_us); break;
        case Kind::mend: clock = {}; break;
    }
    return {};
}

void NaiveStore::mend(std::uint64_t) {
    std::fill(clocks_.begin(), clocks_.end(), Clock{});
}

std::int64_t NaiveStore::wall_us(std::uint16_t replica, std::uint64_t now_us) const {
    const Clock& clock = clocks_[replica];
    if (clock.frozen_us) {
        return *clock.frozen_us;
    }
    const auto now = static_cast<std::int64_t>(now_us);
    const std::int64_t drifting = now - static_cast<std::int64_t>(clock.drift_from_us);
    return now + clock.offset_us + (clock.drift_ppm == 0 ? 0 : drifting * clock.drift_ppm / 1'000'000);
}

std::optional<std::string> NaiveStore::get(const std::string& key) const {
    const auto found = cells_.find(key);
    return found == cells_.end() ? std::nullopt : found->second.value;
}

void NaiveStore::put(std::uint16_t replica, const std::string& key, std::optional<std::string> value,
                     std::uint64_t now_us) {
    const std::int64_t stamp = wall_us(replica, now_us);
    const auto [where, fresh] = cells_.try_emplace(key, Cell{stamp, replica, value});
    Cell& cell = where->second;
    if (fresh) {
        return;
    }
    if (std::pair(stamp, replica) <= std::pair(cell.stamp_us, cell.writer)) {
        ++lost_;  // "older": thrown away, and the client was told that it is stored
        return;
    }
    cell = {stamp, replica, std::move(value)};
}

std::string NaiveStore::digest() const {
    std::string all;
    for (const auto& [key, cell] : cells_) {
        all += fmt::format("{}={};", key, cell.value.value_or(""));
    }
    return crypto::digest_of("naive", view_of(all)).hex();
}

namespace {

// Answers take a millisecond or two. A caller always talks to the same replica, as behind a load balancer.
class NaiveService final : public Service {
 public:
    NaiveService(NaiveStore& store, std::uint16_t replicas, std::uint64_t seed, const std::uint64_t& now_us)
        : store_(store), replicas_(replicas), random_(seed), now_us_(now_us) {}

    void get(std::size_t, const std::string& key, Done done) override {
        later([this, key, done = std::move(done)] { done({Operation::Status::ok, true, store_.get(key)}); });
    }
    void put(std::size_t caller, const std::string& key, const std::string& value, Done done) override {
        later([this, caller, key, value, done = std::move(done)] { write(caller, key, value, true, done); });
    }
    void del(std::size_t caller, const std::string& key, Done done) override {
        later([this, caller, key, done = std::move(done)] {
            write(caller, key, std::nullopt, store_.get(key).has_value(), done);
        });
    }
    void cas(std::size_t caller, const std::string& key, const std::optional<std::string>& expect,
             const std::string& value, Done done) override {
        later([this, caller, key, expect, value, done = std::move(done)] {
            write(caller, key, value, store_.get(key) == expect, done);
        });
    }
    // Runs what is due.
    void advance() {
        while (!due_.empty() && due_.begin()->first <= now_us_) {
            const auto [at_us, action] = *due_.begin();
            due_.erase(due_.begin());
            at_us_ = at_us;
            action();
        }
    }

 private:
    void later(std::function<void()> action) { due_.emplace(now_us_ + 800 + random_() % 1'400, std::move(action)); }
    void write(std::size_t caller, const std::string& key, const std::optional<std::string>& value, bool applied,
               const Done& done) {
        if (applied) {
            store_.put(static_cast<std::uint16_t>(caller % replicas_), key, value, at_us_);
        }
        done({Operation::Status::ok, applied, std::nullopt});
    }

    NaiveStore& store_;
    std::uint16_t replicas_;
    std::mt19937_64 random_;
    const std::uint64_t& now_us_;
    std::uint64_t at_us_ = 0;  // of what runs now: between two steps of the clock
    std::multimap<std::uint64_t, std::function<void()>> due_;
};

void perform(NaiveStore& store, const Step& step, std::uint64_t now_us, Record& record) {
    const double at_s = static_cast<double>(now_us) * 1e-6;
    record.events.push_back(
        {at_s, is_injection(step) ? Event::Kind::inject : Event::Kind::mend, std::nullopt, step.text});
    if (step.kind == Step::Kind::heal) {
        store.mend(now_us);
        return;
    }
    for (const std::uint16_t id : step.target.ids) {
        if (const auto done = store.disturb(id, step.line, now_us); !done) {
            record.failures.push_back(done.error().message);
        }
    }
}

void sample(const NaiveStore& store, std::uint16_t replicas, std::uint64_t now_us, Record& record) {
    for (std::uint16_t id = 0; id < replicas; ++id) {
        Sample sample;
        sample.at_s = static_cast<double>(now_us) * 1e-6;
        sample.replica = id;
        sample.up = true;
        sample.role = "backup";  // there is no primary here
        sample.digest = store.digest();
        record.samples.push_back(std::move(sample));
    }
}

}  // namespace

Result<Record> run_naive(const Scenario& scenario, const RunOptions& options) {
    const std::uint16_t replicas = scenario.cluster.replicas;
    std::uint64_t now_us = 0;
    NaiveStore store(replicas);
    NaiveService service(store, replicas, options.seed, now_us);
    Load load(scenario.workload, options.seed, service, [&now_us] { return now_us * 1'000; });
    Record record;
    record.scenario = scenario.name;
    record.seed = options.seed;
    record.simulated = true;
    record.fault_model = "none";
    record.n = replicas;
    record.q = replicas;
    record.during_from_s = scenario.times.before;
    record.during_to_s = scenario.times.before + scenario.times.during;
    const auto total_us = static_cast<std::uint64_t>(scenario.times.total() * 1e6);
    std::size_t next = 0;
    for (; now_us < total_us; now_us += 500) {
        while (next < scenario.steps.size() && scenario.steps[next].at_s * 1e6 <= static_cast<double>(now_us)) {
            perform(store, scenario.steps[next++], now_us, record);
        }
        load.pump();
        service.advance();
        if (now_us % 100'000 == 0) {
            sample(store, replicas, now_us, record);
        }
    }
    load.close();
    for (; !load.idle(); now_us += 500) {
        service.advance();
    }
    record.end_s = static_cast<double>(now_us) * 1e-6;
    for (const std::string& key : load.keys()) {
        record.read_back[key] = store.get(key);
    }
    // Its replicas always agree: what is wrong is what they agree on.
    for (std::uint16_t id = 0; id < replicas; ++id) {
        record.digests[1][id] = store.digest();
    }
    record.operations = load.take_operations();
    record.events.push_back({record.end_s, Event::Kind::note, std::nullopt,
                             fmt::format("{} acknowledged writes were thrown away as older", store.lost())});
    return record;
}

}  // namespace loyal::lab
