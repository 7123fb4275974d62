#include "client/cli/operator.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <future>
#include <numeric>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "replica/control.h"

namespace loyal::cli {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t status_look_ms = 2'000;
constexpr std::chrono::milliseconds look_again_after{100};

std::vector<std::uint16_t> targets_of(const std::vector<Order>& orders) {
    std::set<std::uint16_t> ids;
    for (const Order& order : orders) {
        ids.insert(order.replica);
    }
    return {ids.begin(), ids.end()};
}

tl::unexpected<Failure> refuse_unreachable(const std::map<std::uint16_t, std::string>& unreachable,
                                           const std::string& consequence) {
    std::string text;
    for (const auto& [id, why] : unreachable) {
        text += fmt::format("{}replica {} does not answer ({})", text.empty() ? "" : ", ", id, why);
    }
    return refuse(Exit::not_applied, "unavailable",
                  fmt::format("{}; {}. `loyal status` shows who runs.", text, consequence));
}

// What is said when an order failed although everything had been checked.
Failure failure_of_order(const Order& order, const Error& error, const std::vector<Told>& told) {
    Failure failure = failure_of(error);
    failure.message = fmt::format("replica {}, \"{}\": {}", order.replica, order.line, error.message);
    std::set<std::uint16_t> done;
    for (const Told& each : told) {
        done.insert(each.replica);
    }
    if (!done.empty()) {
        failure.message += fmt::format("; what was ordered is in force at {}", fmt::join(done, ", "));
    }
    return failure;
}

}  // namespace

std::string list_of(const std::vector<std::uint16_t>& ids) {
    return fmt::format("{}", fmt::join(ids, ", "));
}

Answer<std::vector<std::uint16_t>> parse_replicas(const std::string& text, std::size_t replicas) {
    std::vector<std::uint16_t> ids;
    if (text == "all") {
        ids.resize(replicas);
        std::iota(ids.begin(), ids.end(), std::uint16_t{0});
        return ids;
    }
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        const std::string word = text.substr(begin, end - begin);
        std::uint16_t id = 0;
        const auto parsed = std::from_chars(word.data(), word.data() + word.size(), id);
        if (word.empty() || parsed.ec != std::errc() || parsed.ptr != word.data() + word.size()) {
            return refuse_input(fmt::format("\"{}\" is no replica; write numbers such as 0 or 0,2, or all", word));
        }
        if (std::find(ids.begin(), ids.end(), id) != ids.end()) {
            return refuse_input(fmt::format("replica {} is named twice", id));
        }
        ids.push_back(id);
        begin = end + 1;
    }
    if (ids.size() > replicas) {
        return refuse_input(
            fmt::format("{} replicas of {}: this cluster has only 0 to {}", ids.size(), replicas, replicas - 1));
    }
    for (const std::uint16_t id : ids) {
        if (id >= replicas) {
            return refuse_input(fmt::format("there is no replica {}; this cluster has 0 to {}", id, replicas - 1));
        }
    }
    return ids;
}

Answer<Exit> done_except(const Operator& told) {
    if (told.unreachable().empty()) {
        return Exit::done;
    }
    return refuse_unreachable(told.unreachable(), "the others did what they were told");
}

Answer<Operator> Operator::open(const Globals& globals) {
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "admin", .timeout_ms = default_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    if (!connection->cluster.experiments) {
        return refuse(
            Exit::not_allowed, "experiments_off",
            "this cluster does not allow injected faults; make one with `loyal cluster init DIR --experiments`");
    }
    return Operator(std::move(*connection), globals.timeout_or(default_timeout_ms));
}

Answer<std::vector<std::uint16_t>> Operator::ids_of(const std::string& text) const {
    return parse_replicas(text, replicas());
}

Answer<void> Operator::check(const std::vector<Order>& orders) const {
    for (const Order& order : orders) {
        if (const auto command = replica::parse_control(order.line, replicas()); !command) {
            return refuse_input(command.error().message);
        }
    }
    return {};
}

// A replica of a `crash-recovery` fault comes back by itself: whoever is to be healed is waited for.
void Operator::look_who_answers(const std::vector<Order>& orders, Reach reach) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms_);
    const std::vector<std::uint16_t> targets = targets_of(orders);
    for (;;) {
        unreachable_.clear();
        for (const client::ReplicaStatus& status :
             connection_.client->status_sync(std::min<std::uint64_t>(status_look_ms, timeout_ms_))) {
            const bool meant = std::find(targets.begin(), targets.end(), status.replica.value) != targets.end();
            if (meant && !status.reachable && !status.denied) {
                unreachable_[status.replica.value] = status.why;
            }
        }
        if (unreachable_.empty() || reach == Reach::all || Clock::now() + look_again_after > deadline) {
            return;
        }
        std::this_thread::sleep_for(look_again_after);
    }
}

Answer<std::vector<Told>> Operator::give(const std::vector<Order>& orders, Reach reach) {
    if (const Answer<void> checked = check(orders); !checked) {
        return tl::unexpected<Failure>(checked.error());
    }
    look_who_answers(orders, reach);
    if (!unreachable_.empty() && reach != Reach::whoever) {
        return refuse_unreachable(unreachable_, "nothing was changed anywhere");
    }
    std::vector<std::pair<Order, std::future<Result<std::string>>>> waiting;
    for (const Order& order : orders) {
        if (unreachable_.contains(order.replica)) {
            continue;
        }
        auto promise = std::make_shared<std::promise<Result<std::string>>>();
        waiting.emplace_back(order, promise->get_future());
        connection_.client->control(consensus::ReplicaId(order.replica), order.line,
                                    [promise](const Result<std::string>& answer) { promise->set_value(answer); });
    }
    std::vector<Told> told;
    std::vector<std::pair<Order, Error>> failed;
    for (auto& [order, answer] : waiting) {
        Result<std::string> said = answer.get();
        if (said) {
            told.push_back({order.replica, std::move(*said)});
        } else {
            failed.emplace_back(order, said.error());
        }
    }
    if (!failed.empty()) {
        return tl::unexpected<Failure>(failure_of_order(failed.front().first, failed.front().second, told));
    }
    return told;
}

std::map<std::uint16_t, std::string> Operator::faults_in_force() {
    std::map<std::uint16_t, std::string> faults;
    for (const client::ReplicaStatus& status :
         connection_.client->status_sync(std::min<std::uint64_t>(status_look_ms, timeout_ms_))) {
        const nlohmann::json said = nlohmann::json::parse(status.json, nullptr, false);
        if (status.reachable && said.is_object() && said.contains("fault") && said["fault"].is_string()) {
            faults[status.replica.value] = said["fault"].get<std::string>();
        }
    }
    return faults;
}

}  // namespace loyal::cli
