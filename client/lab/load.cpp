#include "client/lab/load.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace loyal::lab {

namespace {

constexpr std::uint64_t ms_ns = 1'000'000;
constexpr std::uint64_t refused_pause_ns = 50 * ms_ns;  // a cluster that refuses at once is not asked in a tight loop

std::string key_name(std::size_t index) {
    return fmt::format("key-{:03}", index);
}

// A number between 0 and 99. uniform_int_distribution differs between libraries; this does not.
unsigned percent(std::mt19937_64& random) {
    return static_cast<unsigned>(random() % 100);
}

}  // namespace

Load::Load(const Workload& workload, std::uint64_t seed, Service& service, Now now)
    : workload_(workload), service_(service), now_(std::move(now)), random_(seed) {
    callers_.resize(workload.clients);
    known_.resize(workload.keys);
    const std::uint64_t start = now_();
    for (std::size_t i = 0; i < callers_.size(); ++i) {
        callers_[i].client = i;
        callers_[i].due_ns = start + i * ms_ns;  // not all in the same instant
    }
    next_due_ns_ = start;
}

void Load::pump() {
    std::vector<std::pair<std::size_t, Operation>> ready;
    {
        const std::lock_guard lock(mutex_);
        const std::uint64_t now = now_();
        for (std::size_t i = 0; i < callers_.size() && open_; ++i) {
            Caller& caller = callers_[i];
            const bool at_rate = workload_.rate_per_s > 0;
            if (caller.busy || now < caller.due_ns || (at_rate && now < next_due_ns_)) {
                continue;
            }
            if (at_rate) {
                next_due_ns_ += static_cast<std::uint64_t>(1e9 / workload_.rate_per_s);
            }
            choose(caller, i);
            caller.operation.call_ns = now;
            caller.busy = true;
            ready.emplace_back(i, caller.operation);
        }
    }
    for (const auto& [index, operation] : ready) {  // without the mutex: the service may answer at once
        issue(index, operation);
    }
}

void Load::choose(Caller& caller, std::size_t index) {
    const std::size_t key = random_() % workload_.keys;
    Operation& operation = caller.operation;
    operation = {};
    operation.client = caller.client;
    operation.key = key_name(key);
    const unsigned dice = percent(random_);
    if (dice < workload_.read_percent) {
        operation.op = "get";
        return;
    }
    const unsigned rest = dice - workload_.read_percent;
    if (rest < workload_.delete_percent) {
        operation.op = "del";
        return;
    }
    operation.op = rest - workload_.delete_percent < workload_.cas_percent ? "cas" : "put";
    std::string value = fmt::format("{}.{}", index, caller.values++);
    value.resize(std::max<std::size_t>(value.size(), workload_.value_bytes), '.');
    operation.value = std::move(value);
    if (operation.op == "cas") {
        operation.expect = known_[key];
    }
}

void Load::issue(std::size_t index, const Operation& operation) {
    const Service::Done done = [this, index](const Ending& ending) { complete(index, ending); };
    if (operation.op == "get") {
        service_.get(index, operation.key, done);
    } else if (operation.op == "del") {
        service_.del(index, operation.key, done);
    } else if (operation.op == "cas") {
        service_.cas(index, operation.key, operation.expect, *operation.value, done);
    } else {
        service_.put(index, operation.key, *operation.value, done);
    }
}

void Load::complete(std::size_t index, const Ending& ending) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t now = now_();
    Caller& caller = callers_[index];
    Operation& operation = caller.operation;
    operation.status = ending.status;
    operation.ret_ns = ending.status == Operation::Status::unknown ? 0 : now;
    if (ending.status == Operation::Status::ok && (operation.op == "cas" || operation.op == "del")) {
        operation.applied = ending.applied;
    }
    operation.out = ending.out;
    caller.due_ns = now + (workload_.rate_per_s > 0 ? 0 : workload_.pause_ms * ms_ns);
    switch (ending.status) {
        case Operation::Status::ok:
            ++counts_.ok;
            counts_.last_ok_ns = now;
            counts_.last_asked_ok_ns = std::max(counts_.last_asked_ok_ns, operation.call_ns);
            learn(operation, ending);
            break;
        case Operation::Status::fail:
            ++counts_.failed;
            caller.due_ns = now + refused_pause_ns;
            break;
        case Operation::Status::unknown:
            ++counts_.unknown;
            caller.client += callers_.size();
            break;
    }
    operations_.push_back(std::move(operation));
    caller.busy = false;
}

void Load::learn(const Operation& operation, const Ending& ending) {
    const auto index = static_cast<std::size_t>(std::stoul(operation.key.substr(4)));
    if (operation.op == "get") {
        known_[index] = ending.out;
    } else if (operation.op == "put" || (operation.op == "cas" && ending.applied)) {
        known_[index] = operation.value;
    } else if (operation.op == "del") {
        known_[index].reset();
    }
}

void Load::close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
}

bool Load::idle() const {
    const std::lock_guard lock(mutex_);
    return std::none_of(callers_.begin(), callers_.end(), [](const Caller& caller) { return caller.busy; });
}

Load::Counts Load::counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
}

std::vector<Operation> Load::take_operations() {
    const std::lock_guard lock(mutex_);
    return std::move(operations_);
}

std::vector<std::string> Load::keys() const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < workload_.keys; ++i) {
        all.push_back(key_name(i));
    }
    return all;
}

}  // namespace loyal::lab
