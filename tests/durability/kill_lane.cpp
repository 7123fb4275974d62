#include "tests/durability/kill_lane.h"

#include <signal.h>

#include <algorithm>

#include <fmt/format.h>

#include "tests/durability/http.h"
#include "tests/durability/load_round.h"
#include "tests/system/history.h"

namespace loyal::durability {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t workload_operations = 50, workload_keys = 10;
// What a replica missed that dies while it starts: blocks that the others have, blocks that they forgot.
constexpr std::size_t missed_starting = 10, missed_fetching = 220;
// Far more than any point needs: a replica that lags puts more into one call.
constexpr std::size_t operations_max = 20 * workload_operations;
// The smallest that the default window allows: every workload contains a checkpoint, with all that it writes.
constexpr std::uint64_t checkpoint_interval = 32;
constexpr int exit_io = 69;
// Each waits 20 s: a view change takes a small part of the first.
constexpr std::size_t unanswered_max = 3;

bool starts(KillRole role) {
    return role == KillRole::starting || role == KillRole::fetching;
}

std::string kind_of(const KillSwitch& hit) {
    const std::string file = static_cast<const char*>(hit.hit_file);
    const char* folder = file.find("/log/") != std::string::npos     ? "log"
                         : file.find("/state.") != std::string::npos ? "state"
                                                                     : "other";
    switch (hit.hit_call) {
        case call_sync: return fmt::format("{} sync", folder);
        case call_truncate: return fmt::format("{} truncate", folder);
        case call_rename: return "rename";
        default: return fmt::format("{} write", folder);
    }
}

}  // namespace

KillSums& KillSums::operator+=(const KillSums& more) {
    points += more.points;
    covered += more.covered;
    operations += more.operations;
    acknowledged += more.acknowledged;
    lost += more.lost;
    violations += more.violations;
    proofs += more.proofs;
    syncs_after += more.syncs_after;
    for (const auto& [kind, times] : more.by_kind) {
        by_kind[kind] += times;
    }
    troubles.insert(troubles.end(), more.troubles.begin(), more.troubles.end());
    return *this;
}

KillLane::KillLane(const std::filesystem::path& folder) {
    FleetOptions options;
    options.checkpoint_interval = checkpoint_interval;
    fleet_ = std::make_unique<Fleet>(folder / "cluster", options);
    for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
        switches_.push_back(std::make_unique<SwitchFile>(folder / fmt::format("switch-{}", id)));
        start(id);
    }
    client_ = fleet_->open_client("default", 20'000);
    note(fleet_->settle());
}

void KillLane::note(const std::string& trouble) {
    if (!trouble.empty()) {
        sums_.troubles.push_back(trouble);
    }
}

std::uint16_t KillLane::choose(KillRole role) {
    std::optional<std::uint16_t> leads;
    if (!system_test::eventually([&] { return (leads = fleet_->primary()).has_value(); }, 20s)) {
        note("no primary");
    }
    const std::uint16_t primary = leads.value_or(0);
    return role == KillRole::primary ? primary : static_cast<std::uint16_t>((primary + 1) % fleet_->size());
}

// The i-th of the workload: the same puts each time, with values of their own.
lab::Operation KillLane::put(std::size_t i) {
    lab::Operation operation;
    operation.op = "put";
    operation.key = fmt::format("fixed-{}", i % workload_keys);
    operation.value = fmt::format("{}.{}", rounds_, i);
    operation.call_ns = system_test::monotonic_ns();
    const client::WriteResult result =
        client_->write_sync(kvstore::Put{bytes_of(operation.key), bytes_of(*operation.value)});
    operation.ret_ns = system_test::monotonic_ns();
    operation.status = result.certainty == client::Certainty::done          ? lab::Operation::Status::ok
                       : result.certainty == client::Certainty::not_applied ? lab::Operation::Status::fail
                                                                            : lab::Operation::Status::unknown;
    unanswered_ = operation.status == lab::Operation::Status::ok ? 0 : unanswered_ + 1;
    if (unanswered_ == unanswered_max) {
        note(fmt::format("{} writes in a row were not done; {}", unanswered_, fleet_->describe()));
    }
    return operation;
}

bool KillLane::stuck() const {
    return unanswered_ >= unanswered_max;
}

void KillLane::let_peers_forget(std::uint16_t victim) {
    for (const config::ReplicaEntry& replica : fleet_->cluster().replicas) {
        if (replica.id != victim) {
            fleet_->kill(replica.id);
            start(replica.id);
            note(fleet_->settle());
        }
    }
}

void KillLane::go_away(std::uint16_t victim, KillRole role, std::vector<lab::Operation>& operations) {
    if (role == KillRole::fetching) {
        let_peers_forget(victim);
    }
    fleet_->kill(victim);
    const std::size_t missed = role == KillRole::fetching ? missed_fetching : missed_starting;
    while (operations.size() < missed && !stuck()) {
        operations.push_back(put(operations.size()));
    }
}

// Until it has died of its start, or has got over it.
void KillLane::await_start(std::uint16_t victim) {
    const KillSwitch& its = switches_[victim]->get();
    (void)system_test::eventually([&] { return its.hit > 0 || fleet_->settle(100ms).empty(); }, 20s);
}

CallCounts KillLane::count(KillRole role) {
    const std::uint16_t victim = choose(role);
    const KillSwitch& its = switches_[victim]->get();
    ++rounds_;
    unanswered_ = 0;
    std::vector<lab::Operation> operations;
    if (starts(role)) {
        go_away(victim, role, operations);
    }
    CallCounts counts{};
    std::copy(std::begin(its.by_call), std::end(its.by_call), counts.begin());
    if (starts(role)) {
        start(victim);
        await_start(victim);
    } else {
        // One at a time at the victim, too: it would put more into one call than it need.
        for (std::size_t i = 0; i < workload_operations && !stuck(); ++i) {
            (void)put(i);
            note(fleet_->settle());
        }
    }
    note(fleet_->settle());
    const std::uint16_t port = fleet_->cluster().replicas[victim].http_port;
    if (role == KillRole::fetching && metric(port, "loyal_state_repairs_total").value_or(0) < 1) {
        note("it did not have to fetch the state");
    }
    for (std::size_t call = 0; call < counts.size(); ++call) {
        counts[call] = its.by_call[call] - counts[call];
    }
    if (role == KillRole::fetching) {
        change_view();
    }
    return counts;
}

// A replica that fetched the state in a view in which it had voted is silent until the next (PROTOCOL.md S6): without
// one, it would not write what the points after this are about.
void KillLane::change_view() {
    const std::uint16_t primary = choose(KillRole::primary);
    fleet_->kill(primary);
    (void)put(0);
    start(primary);
    note(fleet_->settle());
}

// It was hit: it has ended as it had to, or does so now. Start it again.
void KillLane::bring_back(std::uint16_t victim, KillHow how) {
    const KillSwitch& its = switches_[victim]->get();
    const int code = fleet_->wait_for_end(victim, 10s);
    const int expected = how == KillHow::fail_io ? exit_io : 128 + SIGKILL;
    if (code == expected) {
        ++sums_.covered;
    } else {
        note(fmt::format("it ended with {} instead of {}: {}", code, expected, fleet_->last_words(victim)));
    }
    ++sums_.by_kind[kind_of(its)];
    sums_.syncs_after += its.syncs_after_hit;
    switches_[victim]->disarm();
    start(victim);
}

KillSums KillLane::attempt(const KillPoint& point) {
    const std::uint16_t victim = choose(point.role);
    const SwitchFile& its = *switches_[victim];
    std::vector<lab::Operation> operations;
    ++rounds_;
    unanswered_ = 0;
    if (starts(point.role)) {
        go_away(victim, point.role, operations);
    }
    its.arm(point.n, point.how, point.call);
    if (starts(point.role)) {
        start(victim);
        await_start(victim);
    }
    const std::size_t enough = starts(point.role) ? operations.size() : workload_operations;
    bool back = false;
    for (;;) {
        if (!back && its.get().hit > 0) {
            bring_back(victim, point.how);
            back = true;
        }
        if (operations.size() >= operations_max || stuck() || (operations.size() >= enough && back)) {
            break;
        }
        operations.push_back(put(operations.size()));
    }
    its.disarm();
    note(back ? ""
              : fmt::format("call {} of kind {} was not met in {} operations", point.n, static_cast<int>(point.call),
                            operations.size()));
    note(fleet_->settle());
    sums_.points = 1;
    sums_.operations = operations.size();
    judge(std::move(operations));
    if (point.role == KillRole::fetching) {
        change_view();
    }
    return std::exchange(sums_, {});
}

void KillLane::judge(std::vector<lab::Operation> operations) {
    lab::Record record;
    record.operations = std::move(operations);
    for (std::size_t i = 0; i < workload_keys; ++i) {
        const std::string key = fmt::format("fixed-{}", i);
        kvstore::Range range;
        range.begin = bytes_of(key);
        const client::ReadResult read = client_->read_sync(range);
        if (!read.ok) {
            note("cannot read back: " + read.why);
            continue;
        }
        auto& value = record.read_back[key];
        if (!read.range.items.empty()) {
            value = string_of(read.range.items.front().value);
        }
    }
    const RoundCounts counts = judge_round(record);
    sums_.acknowledged += counts.acknowledged;
    sums_.lost += counts.lost;
    sums_.violations += counts.violations;
    for (const std::string& text : counts.texts) {
        note(text);
    }
    for (const int held : fleet_->proofs()) {
        sums_.proofs += static_cast<std::uint64_t>(std::max(held, 0));
        note(held < 0 ? "a replica does not say what it can prove" : "");
    }
}

}  // namespace loyal::durability
