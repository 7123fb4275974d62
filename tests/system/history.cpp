#include "tests/system/history.h"

#include <time.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

namespace loyal::system_test {

std::uint64_t monotonic_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

History History::load(const std::string& path) {
    History history;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const auto json = nlohmann::json::parse(line);
        HistoryOp op;
        op.is_put = json.at("op") == "put";
        op.key = json.at("key");
        op.value = op.is_put ? json.at("value").get<std::string>() : json.value("out", "");
        op.acknowledged = json.at("status") == "ok";
        op.failed = json.at("status") == "fail";
        op.call_ns = json.at("call");
        op.return_ns =
            op.acknowledged ? json.at("ret").get<std::uint64_t>() : std::numeric_limits<std::uint64_t>::max();
        history.ops_.push_back(std::move(op));
    }
    for (const HistoryOp& op : history.ops_) {
        if (op.is_put) {
            history.puts_[op.key].push_back(&op);
        }
    }
    return history;
}

std::uint64_t History::acknowledged_writes() const {
    return static_cast<std::uint64_t>(
        std::count_if(ops_.begin(), ops_.end(), [](const HistoryOp& op) { return op.is_put && op.acknowledged; }));
}

std::uint64_t History::longest_silence_ns(std::uint64_t from_ns) const {
    std::vector<std::uint64_t> returns = {from_ns};
    std::uint64_t last_call = from_ns;
    for (const HistoryOp& op : ops_) {
        last_call = std::max(last_call, op.is_put ? op.call_ns : 0);
        if (op.is_put && op.acknowledged && op.return_ns > from_ns) {
            returns.push_back(op.return_ns);
        }
    }
    returns.push_back(std::max(last_call, *std::max_element(returns.begin(), returns.end())));
    std::sort(returns.begin(), returns.end());
    std::uint64_t longest = 0;
    for (std::size_t i = 1; i < returns.size(); ++i) {
        longest = std::max(longest, returns[i] - returns[i - 1]);
    }
    return longest;
}

std::uint64_t History::first_return_ns() const {
    std::uint64_t first = std::numeric_limits<std::uint64_t>::max();
    for (const HistoryOp& op : ops_) {
        first = std::min(first, op.return_ns);
    }
    return first;
}

std::string History::objection(const std::string& key, const std::string& value, std::uint64_t call_ns,
                               std::uint64_t return_ns) const {
    const auto puts = puts_.find(key);
    const HistoryOp* source = nullptr;
    // Of the puts that ended before the read began, the one that began last.
    const HistoryOp* newest = nullptr;
    for (const HistoryOp* put : puts == puts_.end() ? std::vector<const HistoryOp*>{} : puts->second) {
        if (put->value == value) {
            source = put;
        }
        if (put->acknowledged && put->return_ns < call_ns && (newest == nullptr || put->call_ns > newest->call_ns)) {
            newest = put;
        }
    }
    if (value.empty()) {
        return newest == nullptr ? "" : key + ": an acknowledged write is lost: " + newest->value.substr(0, 24);
    }
    if (source == nullptr || source->failed) {
        return key + ": a value that nobody put: " + value.substr(0, 24);
    }
    if (source->call_ns > return_ns) {
        return key + ": a value from the future";
    }
    if (newest != nullptr && source->return_ns < newest->call_ns) {
        return key + ": the old value " + value.substr(0, 24) + " after " + newest->value.substr(0, 24) +
               " was acknowledged";
    }
    return "";
}

std::string History::objection_to(const std::string& key, const std::string& value, std::uint64_t now_ns) const {
    return objection(key, value, now_ns, std::numeric_limits<std::uint64_t>::max());
}

std::vector<std::string> History::objections() const {
    std::vector<std::string> found;
    for (const HistoryOp& op : ops_) {
        if (!op.is_put && op.acknowledged) {
            if (std::string why = objection(op.key, op.value, op.call_ns, op.return_ns); !why.empty()) {
                found.push_back(std::move(why));
            }
        }
    }
    return found;
}

std::vector<std::string> History::keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, puts] : puts_) {
        keys.push_back(key);
    }
    return keys;
}

}  // namespace loyal::system_test
