#include "sim/scenario.h"

#include <algorithm>
#include <array>

#include "sim/planner.h"
#include "sim/random.h"

namespace loyal::sim {
namespace {

using consensus::FaultModel;

enum Stream : std::uint64_t {
    shape_stream = 1,
    plan_stream = 2,
    checkpoint_stream = 3,
    watch_shape_stream = 4,
    model_shape_stream = 5
};

constexpr std::array<Timing, 8> timings{Timing::partial,     Timing::partial,     Timing::partial,
                                        Timing::partial,     Timing::partial,     Timing::synchronous,
                                        Timing::synchronous, Timing::asynchronous};
constexpr std::array<Failures, 10> failure_models{
    Failures::byzantine, Failures::byzantine, Failures::byzantine,  Failures::byzantine,      Failures::byzantine,
    Failures::byzantine, Failures::byzantine, Failures::crash_stop, Failures::crash_recovery, Failures::crash_recovery};

Theme pick_theme(Random& random) {
    static constexpr std::array<Theme, 10> themes{Theme::calm,       Theme::network,   Theme::network,  Theme::crashes,
                                                  Theme::crashes,    Theme::traitors,  Theme::traitors, Theme::clocks,
                                                  Theme::everything, Theme::everything};
    return random.pick(themes);
}

void shape_cluster(Scenario& s, Random& random, const Mix& mix) {
    s.fault_model = s.failures == Failures::byzantine ? FaultModel::byzantine : FaultModel::crash;
    if (s.fault_model == FaultModel::byzantine) {
        s.n = random.pick(std::array<std::size_t, 8>{4, 4, 4, 4, 4, 5, 6, 7});
    } else {
        s.n = random.pick(std::array<std::size_t, 5>{3, 3, 3, 4, 5});
    }
    s.window = random.pick(std::array<std::uint64_t, 4>{1, 2, 4, 8});
    s.core.tick_ms = random.pick(std::array<std::uint64_t, 3>{5, 10, 20});
    s.core.heartbeat_ms = random.between(40, 80);
    s.core.order_latency_ms = random.between(20, 60);
    s.core.progress_min_ms = random.between(200, 500);
    s.core.progress_max_ms = random.between(1'500, 3'000);
    s.core.precision_ms = random.between(100, 300);
    s.core.message_delay_ms = random.between(500, 1'200);
    s.core.adaptive = !random.one_in(4);
    s.core.phi_threshold = static_cast<double>(random.between(5, 12));
    if (random.one_in(4)) {  // L1 within a run
        s.core.tenure_ms = random.between(300, 2'000);
        s.core.tenure_blocks = random.between(5, 100);
    }
    if (mix.disk_faults) {
        s.window = random.pick(std::array<std::uint64_t, 4>{1, 1, 2, 3});
        s.checkpoint_interval = 4 * s.window * random.pick(std::array<std::uint64_t, 3>{1, 1, 2});
        s.n = s.fault_model == FaultModel::byzantine && random.one_in(4) ? 7 : s.n;
    } else if (Random(s.seed, checkpoint_stream).one_in(2)) {  // logs are cut, and who fell behind fetches the state
        s.checkpoint_interval = 4 * s.window;
    }
    if (mix.uniform) {
        s.n = s.fault_model == FaultModel::byzantine ? 4 : 3;
        s.window = 8;
        s.checkpoint_interval = 0;
        s.core = consensus::Options();
        s.core.progress_max_ms = 3'000;  // so that views that fail cost seconds, not minutes
    }
}

void shape_network(Scenario& s, Random& random) {
    s.calm.delay_min_us = random.between(20, 300);
    s.calm.delay_spread_us = random.between(10, 1'000);
    s.calm.ordered = !random.one_in(4);
    s.quality = s.calm;
    const bool rough = random.one_in(2);
    if (s.timing == Timing::partial && rough) {
        s.quality.delay_spread_us = random.between(1'000, 15'000);
        s.quality.slow_ppm = 20'000;
        s.quality.slow_us = random.between(20, 300) * ms;
        s.quality.ordered = random.one_in(3);
    }
    s.storm = s.quality;
    s.storm.loss_ppm = static_cast<std::uint32_t>(random.between(10'000, 300'000));
    s.storm.duplicate_ppm = static_cast<std::uint32_t>(random.below(100'000));
    s.storm.corrupt_ppm = static_cast<std::uint32_t>(random.below(30'000));
    s.storm.slow_ppm = 100'000;
    s.storm.slow_us = 200 * ms;
    s.storm.ordered = false;
}

void shape_machines(Scenario& s, Random& random) {
    // Offsets and drift together stay within half of PRECISION, so that any two clocks are within it.
    const auto bound = static_cast<std::int64_t>(s.core.precision_ms / 2 - 10);
    for (std::size_t i = 0; i < s.n; ++i) {
        ClockShape clock;
        clock.offset_ms = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(2 * bound))) - bound;
        clock.drift_ppm = static_cast<std::int64_t>(random.below(401)) - 200;
        s.clocks.push_back(clock);
    }
    const bool slow_disk = random.one_in(3) && s.timing != Timing::synchronous;
    s.disk.sync_min_us = random.between(50, 500);
    s.disk.sync_spread_us = random.between(50, slow_disk ? 20'000 : 1'500);
    s.disk.write_back_us = random.between(5, 200) * ms;
    s.disk.write_back_synced = random.one_in(3);
    s.execute_us = random.between(1, random.one_in(8) ? 3'000 : 60);
    s.batch_us = random.between(0, 100);
}

void shape_workload(Scenario& s, Random& random, const Mix& mix) {
    WorkloadShape& w = s.workload;
    w.clients = random.between(1, 4);
    w.shared_key = random.one_in(3);
    w.operations = random.between(5, 30);
    w.outstanding = random.between(1, 4);
    w.keys = random.between(1, 4);
    w.retry_ms = random.between(60, 150);
    w.timeout_ms = random.one_in(3) ? random.between(500, 3'000) : 300'000;
    s.faults_end_us = random.between(800, 2'500) * ms;
    if (s.timing == Timing::asynchronous) {  // enough for several views to fail
        s.faults_end_us = random.between(2'000, 6'000) * ms;
    }
    if (mix.disk_faults) {  // enough blocks for several checkpoints, on every path of them
        w.clients = random.between(2, 4);
        w.operations = random.between(15, 60);
        w.keys = random.between(2, 12);
        s.faults_end_us = random.between(1'500, 3'500) * ms;
        if (random.one_in(4)) {  // and for logs that no longer reach back to the first ones
            w.operations = random.between(80, 120);
            w.mix.puts = 60;
            w.mix.ranges = 5;
            s.faults_end_us = random.between(3'500, 4'500) * ms;
        }
    }
    if (mix.uniform) {
        w = WorkloadShape();
        w.operations = 20;
        w.timeout_ms = 300'000;
        s.faults_end_us = (s.timing == Timing::asynchronous ? 10 : 2) * second;
    }
    w.think_us = std::min(s.faults_end_us, 2 * second) * w.outstanding / (w.operations + 1);
}

// With randomness of its own: what else a seed stands for does not depend on it.
void shape_watches(Scenario& s, const Mix& mix) {
    Random random(s.seed, watch_shape_stream);
    s.workload.watches = random.one_in(4) && !mix.uniform ? random.between(1, 2) : 0;
    s.workload.watches = mix.watches.value_or(s.workload.watches);
}

// As watches.
void shape_model(Scenario& s, const Mix& mix) {
    Random random(s.seed, model_shape_stream);
    s.workload.mix.txns = random.one_in(3) && !mix.uniform ? 20 : 0;
    s.workload.mix.leases = random.one_in(3) && !mix.uniform ? 20 : 0;
}

void choose_adversary(Scenario& s, Random& random, const Mix& mix) {
    if (s.timing == Timing::asynchronous) {
        const bool starve = random.one_in(2);
        s.scheming = starve || mix.uniform ? Scheming::starve : Scheming::shuffle;
        s.ending = Ending::stop;
    }
}

}  // namespace

Scenario make_scenario(std::uint64_t seed, const Mix& mix) {
    Scenario scenario;
    scenario.seed = seed;
    Random shape(seed, shape_stream);
    const Timing timing = shape.pick(timings);
    const Failures failures = shape.pick(failure_models);
    const Theme theme = pick_theme(shape);
    scenario.timing = mix.timing.value_or(mix.too_many_traitors ? Timing::partial : timing);
    scenario.failures = mix.failures.value_or(failures);
    if (mix.disk_faults) {  // whoever lost its disk comes back, and everything that can be had is had in the end
        scenario.timing = mix.timing.value_or(timing == Timing::asynchronous ? Timing::partial : timing);
        scenario.failures = scenario.failures == Failures::crash_stop ? Failures::crash_recovery : scenario.failures;
    }
    shape_cluster(scenario, shape, mix);
    shape_network(scenario, shape);
    shape_machines(scenario, shape);
    shape_workload(scenario, shape, mix);
    choose_adversary(scenario, shape, mix);
    shape_watches(scenario, mix);
    shape_model(scenario, mix);
    Random random(seed, plan_stream);
    Planner planner(scenario, random, mix.disk_faults ? Theme::disks : mix.uniform ? Theme::everything : theme);
    if (mix.too_many_traitors) {
        planner.write_betrayal();
    } else {
        planner.write();
    }
    return scenario;
}

}  // namespace loyal::sim
