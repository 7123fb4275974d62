#include "client/lab/sim_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "client/lab/evidence_words.h"
#include "client/lab/sim_plan.h"
#include "config/bytes.h"
#include "consensus/evidence.h"
#include "crypto/identity.h"
#include "sim/world.h"

namespace loyal::lab {
namespace {

using consensus::ReplicaId;
using sim::TimeUs;

constexpr TimeUs sample_us = 100 * sim::ms;
constexpr TimeUs progress_us = 200 * sim::ms;
// The messages around the first fault: enough for a diagram.
constexpr double messages_before_s = 0.05, messages_after_s = 0.75;
constexpr std::size_t messages_max = 4'000;
constexpr std::size_t violations_max = 20;

double seconds(TimeUs time) {
    return static_cast<double>(time) / 1'000'000.0;
}

const char* name_of(sim::RegisterOp::Kind kind) {
    switch (kind) {
        case sim::RegisterOp::Kind::put: return "put";
        case sim::RegisterOp::Kind::get: return "get";
        case sim::RegisterOp::Kind::del: return "del";
        case sim::RegisterOp::Kind::cas: return "cas";
    }
    return "?";
}

// Writes down what happens. The run's clock is virtual time, from 0.
class Recorder final : public sim::Observer {
 public:
    Recorder(const Scenario& scenario, const SimPlan& plan, const RunOptions& options)
        : scenario_(scenario), plan_(plan), options_(options) {
        record_.scenario = scenario.name;
        record_.seed = plan.scenario.seed;
        record_.simulated = true;
        record_.fault_model = scenario.cluster.fault_model == consensus::FaultModel::byzantine ? "byzantine" : "crash";
        const consensus::Quorum quorum = scenario.cluster.quorum();
        record_.n = static_cast<std::uint16_t>(quorum.n);
        record_.f = static_cast<std::uint16_t>(quorum.f);
        record_.q = static_cast<std::uint16_t>(quorum.q);
        record_.traitors = scenario.traitors();
        record_.during_from_s = scenario.times.before;
        record_.during_to_s = scenario.times.before + scenario.times.during;
        first_fault_s_ = scenario.steps.empty() ? record_.during_from_s : scenario.steps.front().at_s;
        note(0, Event::Kind::phase, {}, "before");
        note(record_.during_from_s, Event::Kind::phase, {}, "during");
        note(record_.during_to_s, Event::Kind::phase, {}, "after");
    }

    [[nodiscard]] Record take() {
        std::stable_sort(record_.events.begin(), record_.events.end(),
                         [](const Event& a, const Event& b) { return a.at_s < b.at_s; });
        return std::move(record_);
    }

    [[nodiscard]] bool moment(TimeUs now) override {
        if (options_.progress && now >= next_progress_us_) {
            next_progress_us_ = now + progress_us;
            show_progress(seconds(now));
        }
        return options_.stop == nullptr || !options_.stop->load();
    }

    void sampled(TimeUs now, const sim::ReplicaSample& seen) override {
        Sample sample;
        sample.at_s = seconds(now);
        sample.replica = seen.replica.value;
        sample.up = seen.up;
        sample.fault = seen.fault;
        if (seen.up) {
            const consensus::Status& status = seen.status;
            sample.role = status.halted ? "halted" : status.leader == seen.replica ? "primary" : "backup";
            sample.view = status.entered.value;
            sample.executed = seen.executed.value;
            sample.digest = to_hex(seen.digest.view());
            sample.time_out = status.last_time_out;
            for (std::size_t peer = 0; peer < status.suspicion.size(); ++peer) {
                if (peer != seen.replica.value) {
                    sample.suspicion[static_cast<std::uint16_t>(peer)] = status.suspicion[peer].phi;
                }
            }
        }
        record_.samples.push_back(std::move(sample));
    }

    void happened(TimeUs now, Happening what, std::optional<ReplicaId> replica, const std::string& text) override {
        const double at_s = seconds(now);
        std::optional<std::uint16_t> who;
        if (replica) {
            who = replica->value;
        }
        switch (what) {
            case Happening::crash: return note(at_s, Event::Kind::crash, who, text);
            case Happening::restart:
                if (!started_.insert(*who).second) {  // the first time is no news
                    note(at_s, Event::Kind::restart, who, text);
                }
                return;
            case Happening::view: return note(at_s, Event::Kind::view, who, text);
            case Happening::note: return note(at_s, Event::Kind::note, who, text);
            case Happening::violation:
                if (++violations_ <= violations_max) {
                    note(at_s, Event::Kind::violation, who, text);
                }
        }
    }

    void injected(TimeUs now, std::size_t index, std::optional<ReplicaId> replica) override {
        const std::size_t step_index = plan_.step_of.at(index);
        const Step& step = scenario_.steps.at(step_index);
        const bool bad = is_injection(step);
        // A step is told once, when its first event happens; crashes and restarts tell of themselves.
        if (!told_.insert(step_index).second) {
            return;
        }
        std::optional<std::uint16_t> who;
        if (replica && step.kind != Step::Kind::net && step.kind != Step::Kind::net_heal &&
            step.kind != Step::Kind::heal && step.kind != Step::Kind::power_cut) {
            who = replica->value;
        }
        note(seconds(now), bad ? Event::Kind::inject : Event::Kind::mend, who, step.text);
        if (step.kind == Step::Kind::heal) {
            broken_.clear();
        } else if (bad) {
            broken_.push_back(step.text);
        }
    }

    [[nodiscard]] bool wants_messages(TimeUs now) override {
        const double at_s = seconds(now);
        return at_s >= first_fault_s_ - messages_before_s && at_s <= first_fault_s_ + messages_after_s &&
               record_.messages.size() < messages_max;
    }
    void sent(TimeUs now, const sim::MessageSeen& seen) override {
        Message message;
        message.sent_s = seconds(now);
        message.from = seen.from;
        message.to = seen.to;
        message.kind = seen.kind;
        message.view = seen.view;
        message.height = seen.height;
        message.detail = seen.detail;
        under_way_[seen.id] = record_.messages.size();
        record_.messages.push_back(std::move(message));
    }
    void received(TimeUs now, std::uint64_t id) override {
        const auto found = under_way_.find(id);
        if (found != under_way_.end()) {  // the first of two copies
            record_.messages[found->second].received_s = seconds(now);
            under_way_.erase(found);
        }
    }

    void executed(ReplicaId replica, consensus::Height height, const crypto::Digest& digest) override {
        // A replica that executed a height before its crash and again after it must have come to the same state.
        record_.digests[height.value].try_emplace(replica.value, to_hex(digest.view()));
    }

    void answered(const sim::OperationSeen& seen) override {
        Operation operation;
        operation.op = name_of(seen.op.kind);
        operation.key = seen.key;
        operation.value = seen.op.value;
        operation.expect = seen.op.expect;
        operation.out = seen.op.out;
        operation.call_ns = seen.call_us * 1'000;
        operation.status = seen.status == sim::OperationSeen::Status::ok     ? Operation::Status::ok
                           : seen.status == sim::OperationSeen::Status::fail ? Operation::Status::fail
                                                                             : Operation::Status::unknown;
        // An operation with an unknown end is open for ever; the caller goes on as somebody else.
        std::uint64_t& renamed = renamed_[seen.client];
        operation.client = seen.client + renamed * scenario_.workload.clients;
        if (operation.status == Operation::Status::unknown) {
            ++renamed;
        } else {
            operation.ret_ns = seen.ret_us * 1'000;
        }
        const bool conditional =
            seen.op.kind == sim::RegisterOp::Kind::cas || seen.op.kind == sim::RegisterOp::Kind::del;
        if (operation.status == Operation::Status::ok) {
            ++answered_ok_;
            if (conditional) {
                operation.applied = seen.op.applied;
            }
        }
        record_.operations.push_back(std::move(operation));
    }

    void read_back(const std::string& key, const std::optional<std::string>& value, std::uint64_t version) override {
        record_.read_back[key] = value;
        if (value) {
            record_.versions[key] = version;
        }
    }

    void convicted(TimeUs now, ReplicaId by, const consensus::Evidence& evidence, bool verified) override {
        EvidenceFound found;
        found.at_s = seconds(now);
        found.by = by.value;
        found.culprit = evidence.culprit.value;
        found.kind = consensus::name_of(evidence.kind);
        found.id = to_hex(consensus::evidence_id(evidence).view());
        found.explanation = consensus::explanation_of(evidence.kind);
        found.verified = verified;
        found.statements = lab::words_of(evidence);
        if (held_.insert({by.value, found.id}).second) {
            note(found.at_s, Event::Kind::evidence, found.culprit,
                 fmt::format("replica {} holds proof {} against replica {}", by.value, found.kind, found.culprit));
            record_.evidence.push_back(std::move(found));
        }
    }

    void ended(TimeUs now, const sim::CostsSeen& costs) override {
        record_.end_s = seconds(now);
        record_.costs = {costs.messages, costs.bytes, costs.signatures, costs.verifications, costs.syncs};
        if (violations_ > violations_max) {
            note(record_.end_s, Event::Kind::note, {},
                 fmt::format("{} more findings of the simulator's checkers", violations_ - violations_max));
        }
    }

 private:
    void note(double at_s, Event::Kind kind, std::optional<std::uint16_t> replica, const std::string& text) {
        record_.events.push_back({at_s, kind, replica, text});
        news_ = text;
    }
    void show_progress(double at_s) {
        Progress progress;
        progress.at_s = at_s;
        progress.total_s = scenario_.times.total();
        progress.phase = at_s < record_.during_from_s ? "before"
                         : at_s < record_.during_to_s ? "during"
                         : at_s < progress.total_s    ? "after"
                                                      : "reading back";
        progress.ops = answered_ok_;
        progress.ops_per_s = static_cast<double>(answered_ok_ - answered_shown_) / seconds(progress_us);
        answered_shown_ = answered_ok_;
        progress.broken = broken_;
        progress.news = std::exchange(news_, {});
        options_.progress(progress);
    }

    const Scenario& scenario_;
    const SimPlan& plan_;
    const RunOptions& options_;
    Record record_;
    double first_fault_s_ = 0;
    TimeUs next_progress_us_ = 0;
    std::string news_;
    std::vector<std::string> broken_;
    std::set<std::size_t> told_;                                // steps
    std::set<std::uint16_t> started_;                           // replicas, at least once
    std::unordered_map<std::uint64_t, std::size_t> under_way_;  // message -> its place in the record
    std::map<std::size_t, std::uint64_t> renamed_;              // callers, for each unknown end
    std::set<std::pair<std::uint16_t, std::string>> held_;
    std::size_t violations_ = 0;
    std::uint64_t answered_ok_ = 0, answered_shown_ = 0;
};

}  // namespace

Result<Record> run_in_simulator(const Scenario& scenario, const RunOptions& options) {
    crypto::initialize();
    const auto plan = plan_for_simulator(scenario, options.seed);
    if (!plan) {
        return tl::unexpected(plan.error());
    }
    Recorder recorder(scenario, *plan, options);
    sim::RunOptions how;
    how.observer = &recorder;
    how.sample_us = sample_us;
    how.go_on = true;  // the judge decides, of all that happened
    (void)sim::run_scenario(plan->scenario, how);
    return recorder.take();
}

}  // namespace loyal::lab
