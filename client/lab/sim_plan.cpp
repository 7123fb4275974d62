#include "client/lab/sim_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "replica/control.h"

namespace loyal::lab {
namespace {

using sim::FaultEvent;
using sim::FaultKind;
using sim::TimeUs;

constexpr std::uint16_t nobody = 0;  // in events that are about no single replica

TimeUs us_of(double seconds) {
    return static_cast<TimeUs>(std::llround(seconds * 1'000'000));
}

std::string key_of_caller() {
    return "lab";  // the name that callers of real runs sign in with (lab_cluster.cpp)
}

class Translation {
 public:
    explicit Translation(const Scenario& from, std::uint64_t seed) : from_(from) { plan_.scenario.seed = seed; }

    [[nodiscard]] Result<SimPlan> run() {
        if (from_.cluster.store != Store::loyal) {
            return needs_processes("the naive store");
        }
        shape_cluster();
        shape_workload();
        for (std::size_t i = 0; i < from_.steps.size(); ++i) {
            step_ = i;
            if (const auto done = add_step(from_.steps[i]); !done) {
                return tl::unexpected(done.error());
            }
        }
        sort();
        return std::move(plan_);
    }

 private:
    using Sub = std::pair<std::size_t, FaultEvent>;  // and the step that it is of

    [[nodiscard]] tl::unexpected<Error> needs_processes(const std::string& what) const {
        return fail(
            Errc::invalid_argument,
            fmt::format("{}: this scenario needs real processes, for {}; run it without --sim", from_.name, what));
    }

    void shape_cluster() {
        sim::Scenario& s = plan_.scenario;
        const ClusterShape& cluster = from_.cluster;
        s.fault_model = cluster.fault_model;
        s.n = cluster.replicas;
        s.window = 8;
        s.checkpoint_interval = cluster.checkpoint_interval;
        s.failures = cluster.fault_model == consensus::FaultModel::byzantine ? sim::Failures::byzantine
                     : cluster.crash_mode == config::CrashMode::stop         ? sim::Failures::crash_stop
                                                                             : sim::Failures::crash_recovery;
        s.timing = cluster.timing == Timing::synchronous ? sim::Timing::synchronous
                   : cluster.timing == Timing::partial   ? sim::Timing::partial
                                                         : sim::Timing::asynchronous;
        s.scheming = cluster.timing == Timing::asynchronous ? sim::Scheming::starve : sim::Scheming::none;
        s.ending = sim::Ending::read_back;
        s.faults_end_us = us_of(from_.times.total());
        s.recovery_max_us = 30 * sim::second;
        s.clocks.assign(s.n, {});
        const config::Timers& timers = cluster.timers;
        s.core.heartbeat_ms = timers.heartbeat_ms;
        s.core.order_latency_ms = timers.order_latency_ms;
        s.core.progress_min_ms = timers.progress_min_ms;
        s.core.progress_max_ms = timers.progress_max_ms;
        s.core.precision_ms = timers.precision_ms;
        s.core.message_delay_ms = timers.message_delay_ms;
        s.core.adaptive = timers.adaptive;
        s.core.phi_threshold = timers.phi_threshold;
        s.core.tenure_ms = timers.tenure_ms;
        s.core.tenure_blocks = timers.tenure_blocks;
        s.traitors = from_.traitors();
    }

    void shape_workload() {
        sim::WorkloadShape& w = plan_.scenario.workload;
        const Workload& load = from_.workload;
        w.clients = load.clients;
        w.one_key = true;
        w.operations = std::numeric_limits<std::size_t>::max();
        w.last_operations = 0;
        w.outstanding = 1;
        w.keys = load.keys;
        w.key_prefix = "key-";
        w.key_digits = 3;
        w.mix = {};
        w.mix.ranges = 0;
        w.mix.ordered_one_in = 0;
        w.mix.cas_deletes = false;
        w.mix.cas = load.cas_percent;
        w.mix.deletes = load.delete_percent;
        w.mix.puts = 100U - load.read_percent - load.cas_percent - load.delete_percent;
        w.value_bytes = load.value_bytes;
        w.timeout_ms = load.timeout_ms;
        w.retry_ms = 2 * from_.cluster.timers.order_latency_ms;
        if (load.rate_per_s > 0) {
            w.think_us = us_of(static_cast<double>(load.clients) / load.rate_per_s);
        } else {
            w.think_us = sim::ms;
            w.pause_us = load.pause_ms * sim::ms;
        }
        plan_.scenario.client_names = {{key_of_caller(), 0}};
    }

    // ---- Steps

    FaultEvent& add(TimeUs at, FaultKind kind, std::uint16_t who = nobody, std::int64_t arg = 0) {
        FaultEvent event;
        event.at = at;
        event.kind = kind;
        event.a = who;
        event.arg = arg;
        events_.emplace_back(step_, std::move(event));
        return events_.back().second;
    }
    // What `target` means to the simulator; "dead" is said by other kinds of events.
    [[nodiscard]] std::vector<std::uint16_t> who(const Target& target) const {
        switch (target.role) {
            case Target::Role::ids: return target.ids;
            case Target::Role::primary: return {sim::the_primary};
            case Target::Role::backup: return {sim::a_backup};
            case Target::Role::dead: break;
        }
        return {};
    }
    [[nodiscard]] bool stops_for_good() const {
        return from_.cluster.fault_model == consensus::FaultModel::crash &&
               from_.cluster.crash_mode == config::CrashMode::stop;
    }
    void kill(TimeUs at, std::uint16_t who) {
        add(at, stops_for_good() ? FaultKind::crash_stop : FaultKind::crash, who);
    }

    [[nodiscard]] Result<void> add_step(const Step& step) {
        const TimeUs at = us_of(step.at_s);
        switch (step.kind) {
            case Step::Kind::fault: return add_fault(step, at);
            case Step::Kind::net: return add_net(step, at);
            case Step::Kind::net_heal: add(at, FaultKind::heal_network); return {};
            case Step::Kind::clock: return add_clock(step, at);
            case Step::Kind::disk: return add_disk(step, at);
            case Step::Kind::pause:
                for (const std::uint16_t id : who(step.target)) {
                    add(at, FaultKind::pause, id, static_cast<std::int64_t>(step.pause_ms * sim::ms));
                }
                return {};
            case Step::Kind::kill:
                for (const std::uint16_t id : who(step.target)) {
                    kill(at, id);
                }
                return {};
            case Step::Kind::power_cut: {
                FaultEvent& cut = add(at, FaultKind::power_cut);
                for (const std::uint16_t id : step.target.ids) {
                    cut.mask |= std::uint32_t{1} << id;
                }
                return {};
            }
            case Step::Kind::lose_disk: return add_to_each(step, at, FaultKind::lose_disk);
            case Step::Kind::save_disk: return add_to_each(step, at, FaultKind::keep_image);
            case Step::Kind::roll_back_disk: return add_to_each(step, at, FaultKind::roll_back);
            case Step::Kind::restart:
                if (step.target.role == Target::Role::dead) {
                    add(at, FaultKind::restart_all);
                }
                for (const std::uint16_t id : who(step.target)) {
                    add(at, FaultKind::restart, id);
                }
                return {};
            case Step::Kind::expect_restart_refused: return needs_processes("the refusal to start again");
            case Step::Kind::pause_holder: return needs_processes("a lock's holder");
            case Step::Kind::heal: return add_heal(at);
        }
        return {};
    }

    [[nodiscard]] Result<void> add_to_each(const Step& step, TimeUs at, FaultKind kind) {
        for (const std::uint16_t id : who(step.target)) {
            add(at, kind, id);
        }
        return {};
    }

    [[nodiscard]] Result<void> add_heal(TimeUs at) {
        add(at, FaultKind::heal_all);
        for (const std::uint16_t traitor : plan_.scenario.traitors) {
            add(at, FaultKind::behave, traitor).text = "none";
        }
        return {};
    }

    [[nodiscard]] Result<void> add_fault(const Step& step, TimeUs at) {
        using Kind = replica::FaultSpec::Kind;
        for (const std::uint16_t id : who(step.target)) {
            switch (step.fault.kind) {
                case Kind::none:
                case Kind::byzantine:
                    if (is_traitor(id)) {
                        add(at, FaultKind::behave, id).text = to_string(step.fault);
                    }
                    break;
                case Kind::crash_stop: kill(at + step.fault.after_ms * sim::ms, id); break;
                case Kind::crash_recovery: add_crashes(step, at, id); break;
            }
        }
        return {};
    }
    [[nodiscard]] bool is_traitor(std::uint16_t id) const {
        const auto& traitors = plan_.scenario.traitors;
        return std::find(traitors.begin(), traitors.end(), id) != traitors.end();
    }
    // Until something else is said about this replica, or everything is healed.
    void add_crashes(const Step& step, TimeUs at, std::uint16_t id) {
        TimeUs until = plan_.scenario.faults_end_us;
        for (const Step& later : from_.steps) {
            const std::vector<std::uint16_t> about = who(later.target);
            const bool ends = later.kind == Step::Kind::heal ||
                              (later.kind == Step::Kind::fault && std::count(about.begin(), about.end(), id) > 0);
            if (ends && later.at_s > step.at_s) {
                until = std::min(until, us_of(later.at_s));
            }
        }
        const TimeUs up = step.fault.every_ms * sim::ms, down = step.fault.down_ms * sim::ms;
        for (TimeUs next = at + up; next < until; next += up + down) {
            add(next, FaultKind::crash, id);
            add(std::min(next + down, until), FaultKind::restart, id);
        }
    }

    [[nodiscard]] Result<void> add_net(const Step& step, TimeUs at) {
        const auto parsed = replica::parse_control("net to=all " + step.line, from_.cluster.replicas);
        if (!parsed) {
            return tl::unexpected(parsed.error());
        }
        const auto* set = std::get_if<replica::NetSet>(&*parsed);
        if (set == nullptr) {
            return fail(Errc::invalid_argument, fmt::format("\"{}\" is no fault of links", step.line));
        }
        for (const Links& links : step.links) {
            std::uint32_t mask = 0;
            for (const std::uint16_t id : links.to) {
                mask |= std::uint32_t{1} << id;
            }
            for (const std::uint16_t id : who(links.from)) {
                FaultEvent& event = add(at, FaultKind::link, id, links.to_clients ? 1 : 0);
                event.mask = mask;
                event.link = set->fault;
            }
        }
        return {};
    }

    [[nodiscard]] Result<void> add_clock(const Step& step, TimeUs at) {
        using Kind = replica::ClockFault::Kind;
        const auto parsed = replica::parse_control("clock " + step.line, from_.cluster.replicas);
        const auto* clock = parsed ? std::get_if<replica::ClockFault>(&*parsed) : nullptr;
        if (clock == nullptr) {
            return fail(Errc::invalid_argument, fmt::format("\"{}\" is no fault of a clock", step.line));
        }
        const FaultKind kind = clock->kind == Kind::offset   ? FaultKind::clock_offset
                               : clock->kind == Kind::drift  ? FaultKind::clock_drift
                               : clock->kind == Kind::jump   ? FaultKind::clock_jump
                               : clock->kind == Kind::freeze ? FaultKind::clock_freeze
                                                             : FaultKind::clock_mend;
        for (const std::uint16_t id : who(step.target)) {
            add(at, kind, id, clock->value);
        }
        return {};
    }

    [[nodiscard]] Result<void> add_disk(const Step& step, TimeUs at) {
        using Kind = replica::DiskFault::Kind;
        const auto parsed = replica::parse_control("disk " + step.line, from_.cluster.replicas);
        const auto* disk = parsed ? std::get_if<replica::DiskFault>(&*parsed) : nullptr;
        if (disk == nullptr) {
            return fail(Errc::invalid_argument, fmt::format("\"{}\" is no fault of a disk", step.line));
        }
        for (const std::uint16_t id : who(step.target)) {
            switch (disk->kind) {
                case Kind::slow:
                    add(at, FaultKind::disk_delay, id, static_cast<std::int64_t>(disk->value * sim::ms));
                    break;
                case Kind::full: add(at, FaultKind::refuse_writes, id, 1); break;
                case Kind::fail_sync: add(at, FaultKind::fail_sync, id); break;
                case Kind::mend:
                    add(at, FaultKind::disk_delay, id);
                    add(at, FaultKind::refuse_writes, id);
                    break;
                case Kind::rot: return needs_processes("rotting bits of a real disk");
            }
        }
        return {};
    }

    void sort() {
        std::stable_sort(events_.begin(), events_.end(),
                         [](const Sub& a, const Sub& b) { return a.second.at < b.second.at; });
        for (Sub& sub : events_) {
            plan_.step_of.push_back(sub.first);
            plan_.scenario.plan.push_back(std::move(sub.second));
        }
    }

    const Scenario& from_;
    SimPlan plan_;
    std::size_t step_ = 0;
    std::vector<Sub> events_;
};

}  // namespace

Result<SimPlan> plan_for_simulator(const Scenario& scenario, std::uint64_t seed) {
    return Translation(scenario, seed).run();
}

}  // namespace loyal::lab
