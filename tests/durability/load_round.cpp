#include "tests/durability/load_round.h"

#include <set>

#include <fmt/format.h>

#include "client/lab/checks.h"
#include "client/lab/cluster_service.h"
#include "tests/system/history.h"

namespace loyal::durability {

using namespace std::chrono_literals;
using lab::Operation;

namespace {

// Long enough to get over the restart of everybody.
constexpr std::uint64_t operation_timeout_ms = 15'000;

}  // namespace

RoundCounts& RoundCounts::operator+=(const RoundCounts& more) {
    acknowledged += more.acknowledged;
    refused += more.refused;
    unknown += more.unknown;
    reads += more.reads;
    lost += more.lost;
    violations += more.violations;
    undecided += more.undecided;
    texts.insert(texts.end(), more.texts.begin(), more.texts.end());
    return *this;
}

RoundCounts judge_round(const lab::Record& record) {
    RoundCounts counts;
    for (const Operation& operation : record.operations) {
        if (operation.op == "get") {
            counts.reads += operation.status == Operation::Status::ok ? 1U : 0U;
            continue;
        }
        switch (operation.status) {
            case Operation::Status::ok: ++counts.acknowledged; break;
            case Operation::Status::fail: ++counts.refused; break;
            case Operation::Status::unknown: ++counts.unknown; break;
        }
    }
    const auto add = [&](const lab::Finding& finding, std::uint64_t& number) {
        number += finding.violations.size();
        for (const lab::Violation& violation : finding.violations) {
            counts.texts.push_back(violation.text);
        }
    };
    add(lab::check_durability(record), counts.lost);
    const lab::Finding order = lab::check_linearizability(record);
    add(order, counts.violations);
    counts.undecided += order.held ? 0U : 1U;
    add(lab::check_once(record), counts.violations);
    return counts;
}

// The lab's load names its keys; here each round has its own.
class LoadRound::Prefixed final : public lab::Service {
 public:
    Prefixed(std::string prefix, std::vector<std::unique_ptr<client::Client>> clients)
        : prefix_(std::move(prefix)), inner_(std::move(clients)) {}
    void get(std::size_t caller, const std::string& key, Done done) override {
        inner_.get(caller, prefix_ + key, std::move(done));
    }
    void put(std::size_t caller, const std::string& key, const std::string& value, Done done) override {
        inner_.put(caller, prefix_ + key, value, std::move(done));
    }
    void del(std::size_t caller, const std::string& key, Done done) override {
        inner_.del(caller, prefix_ + key, std::move(done));
    }
    void cas(std::size_t caller, const std::string& key, const std::optional<std::string>& expect,
             const std::string& value, Done done) override {
        inner_.cas(caller, prefix_ + key, expect, value, std::move(done));
    }
    void close() { inner_.close(); }

 private:
    std::string prefix_;
    lab::ClusterService inner_;
};

LoadRound::LoadRound(const Fleet& fleet, std::string prefix, std::uint64_t seed, std::size_t callers, std::size_t keys,
                     std::uint64_t pause_ms)
    : fleet_(fleet), prefix_(std::move(prefix)) {
    std::vector<std::unique_ptr<client::Client>> clients;
    clients.push_back(fleet.open_client("default", operation_timeout_ms));
    clients.push_back(fleet.open_client("admin", operation_timeout_ms));
    service_ = std::make_unique<Prefixed>(prefix_, std::move(clients));
    lab::Workload workload;
    workload.clients = static_cast<std::uint16_t>(callers);
    workload.keys = static_cast<std::uint32_t>(keys);
    workload.read_percent = 25;
    workload.cas_percent = 10;
    workload.value_bytes = 64;
    workload.pause_ms = pause_ms;
    load_ = std::make_unique<lab::Load>(workload, seed, *service_, system_test::monotonic_ns);
    pump_ = std::thread([this] {
        while (pumping_) {
            load_->pump();
            std::this_thread::sleep_for(1ms);
        }
    });
}

LoadRound::~LoadRound() {
    pumping_ = false;
    if (pump_.joinable()) {
        pump_.join();
    }
    service_->close();
}

RoundCounts LoadRound::finish(Kept& kept) {
    load_->close();
    pumping_ = false;
    pump_.join();
    (void)system_test::eventually([&] { return load_->idle(); }, 30s);
    service_->close();  // ends what is left as unknown
    lab::Record record;
    record.operations = load_->take_operations();
    std::set<std::string> open;  // what may still change, some day
    for (const Operation& operation : record.operations) {
        if (operation.status == Operation::Status::unknown && operation.op != "get") {
            open.insert(operation.key);
        }
    }
    const auto reader = fleet_.open_client("default", 30'000);
    std::uint64_t unread = 0;
    for (const std::string& key : load_->keys()) {
        kvstore::Range range;
        range.begin = bytes_of(prefix_ + key);
        const client::ReadResult result = reader->read_sync(range);
        if (!result.ok) {
            ++unread;
            continue;
        }
        auto& read = record.read_back[key];
        if (!result.range.items.empty()) {
            read = string_of(result.range.items.front().value);
            record.versions[key] = result.range.items.front().version;
        }
        if (!open.contains(key)) {
            kept[prefix_ + key] = read.value_or("");
        }
    }
    RoundCounts counts = judge_round(record);
    if (unread > 0) {
        counts.undecided += unread;
        counts.texts.push_back(fmt::format("{} keys could not be read back", unread));
    }
    return counts;
}

std::vector<std::string> compare(const Fleet& fleet, const Kept& kept) {
    std::vector<std::string> differences;
    const auto reader = fleet.open_client("default", 30'000);
    for (const auto& [key, value] : kept) {
        kvstore::Range range;
        range.begin = bytes_of(key);
        const client::ReadResult result = reader->read_sync(range);
        const std::string now =
            result.range.items.empty() ? std::string() : string_of(result.range.items.front().value);
        if (!result.ok || now != value) {
            differences.push_back(
                fmt::format("{}: {} instead of {}", key, result.ok ? now : "<" + result.why + ">", value));
        }
    }
    return differences;
}

}  // namespace loyal::durability
