#include "tests/durability/fleet.h"

#include <signal.h>

#include <fstream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "crypto/identity.h"

namespace loyal::durability {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t status_timeout_ms = 1'000;

[[noreturn]] void cannot(const std::string& what, const Error& error) {
    throw std::runtime_error(what + ": " + error.message);
}

config::Cluster make_cluster(const fs::path& folder, const FleetOptions& options) {
    config::InitOptions init;
    init.replicas = options.replicas;
    init.fault_model = options.fault_model;
    init.base_port = 0;
    init.experiments = true;
    Result<config::InitReport> made = config::init_cluster(folder, init);
    if (!made) {
        cannot("a cluster cannot be made", made.error());
    }
    config::Cluster cluster = std::move(made->cluster);
    cluster.checkpoint_interval = options.checkpoint_interval;
    cluster.history_revisions = options.history_revisions;
    cluster.log_quota_bytes = options.log_quota_bytes;
    cluster.timers.heartbeat_ms = options.heartbeat_ms;
    cluster.timers.order_latency_ms = options.order_latency_ms;
    cluster.timers.progress_min_ms = options.progress_min_ms;
    cluster.timers.tenure_ms = options.tenure_ms;
    cluster.timers.recovery_rotation_ms = options.recovery_rotation_ms;
    std::ofstream(folder / "cluster.toml", std::ios::binary | std::ios::trunc) << config::render_cluster(cluster);
    Result<config::Cluster> read = config::load_cluster(folder);
    if (!read) {
        cannot("the cluster file", read.error());
    }
    return std::move(*read);
}

std::string tail_of(const std::string& text, std::size_t lines) {
    std::size_t begin = text.size();
    for (std::size_t seen = 0; begin > 0 && seen <= lines; --begin) {
        seen += text[begin - 1] == '\n' ? 1U : 0U;
    }
    return text.substr(begin == 0 ? 0 : begin + 1);
}

}  // namespace

Fleet::Fleet(const fs::path& folder, FleetOptions options)
    : cluster_(make_cluster(folder, options)),
      options_(std::move(options)),
      loyald_(system_test::program_folder() / "loyald") {
    for (std::uint16_t id = 0; options_.data && id < size(); ++id) {
        if (const auto born = config::write_birth(data(id), {cluster_.cluster_id, id}); !born) {
            cannot("a data folder cannot be made", born.error());
        }
    }
    operator_ = open_client("admin", 5'000);
}

Fleet::~Fleet() {
    operator_->close();
    for (auto& [id, process] : processes_) {
        kill(id);
    }
}

fs::path Fleet::data(std::uint16_t id) const {
    return options_.data ? options_.data(id) : cluster_.data_path(id);
}

void Fleet::start(std::uint16_t id, const Environment& environment) {
    const std::vector<std::string> words = {
        loyald_.string(), "--config",       (cluster_.directory / "cluster.toml").string(), "--id", std::to_string(id),
        "--data",         data(id).string()};
    processes_[id] = std::make_unique<system_test::Process>(words, system_test::Process::Options{"", environment});
}

void Fleet::start_all() {
    for (std::uint16_t id = 0; id < size(); ++id) {
        if (!running(id)) {
            start(id);
        }
    }
}

void Fleet::kill(std::uint16_t id) {
    const auto found = processes_.find(id);
    if (found == processes_.end() || found->second == nullptr) {
        return;
    }
    found->second->signal(SIGKILL);
    (void)wait_for_end(id, 20s);
}

bool Fleet::stop(std::uint16_t id, std::chrono::seconds limit) {
    if (processes_[id] == nullptr) {
        return false;
    }
    processes_[id]->signal(SIGTERM);
    return wait_for_end(id, limit) == 0;
}

bool Fleet::running(std::uint16_t id) const {
    const auto found = processes_.find(id);
    return found != processes_.end() && found->second != nullptr && found->second->running();
}

int Fleet::wait_for_end(std::uint16_t id, std::chrono::seconds limit) {
    if (processes_[id] == nullptr) {
        return -1;  // told before
    }
    const system_test::Ran ran = processes_.at(id)->finish(limit);
    words_[id] = ran.out + ran.error;
    processes_[id].reset();
    return ran.exit;
}

pid_t Fleet::pid(std::uint16_t id) const {
    const auto found = processes_.find(id);
    return found == processes_.end() || found->second == nullptr ? -1 : found->second->pid();
}

std::string Fleet::last_words(std::uint16_t id, std::size_t lines) const {
    const auto found = words_.find(id);
    return found == words_.end() ? "" : tail_of(found->second, lines);
}

std::unique_ptr<client::Client> Fleet::open_client(const std::string& name, std::uint64_t timeout_ms,
                                                   bool fail_fast) const {
    Result<crypto::KeyFile> key = crypto::read_key_file(cluster_.client_key_path(name));
    if (!key) {
        cannot("a client's key", key.error());
    }
    client::ClientOptions options;
    options.cluster = cluster_;
    options.identity = std::make_shared<crypto::Identity>(std::move(key->identity));
    options.timeout_ms = timeout_ms;
    options.backoff_max_ms = 100;  // replicas come and go here
    options.fail_fast = fail_fast;
    Result<std::unique_ptr<client::Client>> opened = client::Client::open(std::move(options));
    if (!opened) {
        cannot("a client", opened.error());
    }
    return std::move(*opened);
}

std::vector<Json> Fleet::status() {
    std::vector<Json> rows(size());
    for (const client::ReplicaStatus& each : operator_->status_sync(status_timeout_ms)) {
        if (each.reachable) {
            Json row = Json::parse(each.json, nullptr, false);
            rows[each.replica.value] = row.is_object() ? std::move(row) : Json();
        }
    }
    return rows;
}

std::optional<std::uint16_t> Fleet::primary() {
    std::optional<std::uint16_t> found;
    std::uint64_t view = 0;
    const std::vector<Json> rows = status();
    for (std::uint16_t id = 0; id < rows.size(); ++id) {
        if (rows[id].is_object() && rows[id]["role"] == "primary" && (!found || rows[id]["view"] > view)) {
            found = id;
            view = rows[id]["view"];
        }
    }
    return found;
}

std::string Fleet::settle(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::string why = "nobody runs";
    std::uint64_t last = 0;
    for (int still = 0; std::chrono::steady_clock::now() < deadline;) {
        const std::vector<Json> rows = status();
        std::map<std::uint64_t, std::map<std::string, std::uint16_t>> states;
        why.clear();
        for (std::uint16_t id = 0; id < rows.size(); ++id) {
            if (rows[id].is_object()) {
                states[rows[id]["executed"]][rows[id]["state_digest"]] = id;
            } else if (running(id)) {
                why = fmt::format("replica {} does not answer", id);
            }
        }
        for (const auto& [height, digests] : states) {
            if (digests.size() > 1) {
                return fmt::format("two states at height {}: {} at replica {}, {} at replica {}", height,
                                   digests.begin()->first.substr(0, 12), digests.begin()->second,
                                   digests.rbegin()->first.substr(0, 12), digests.rbegin()->second);
            }
        }
        if (states.size() > 1) {
            why = fmt::format("heights {} to {}", states.begin()->first, states.rbegin()->first);
        }
        const bool same = why.empty() && !states.empty();
        still = same && states.begin()->first == last ? still + 1 : 0;
        last = same ? states.begin()->first : 0;
        if (still >= 2) {
            return "";
        }
        std::this_thread::sleep_for(10ms);
    }
    return "no common state in time: " + (why.empty() ? "heights move" : why);
}

std::string Fleet::describe() {
    const std::vector<Json> rows = status();
    std::vector<std::string> said;
    for (std::uint16_t id = 0; id < rows.size(); ++id) {
        Json row = rows[id];
        said.push_back(row.is_object()
                           ? fmt::format("replica {}: {} view {} executed {} alarms {}", id, row["role"].dump(),
                                         row["view"].dump(), row["executed"].dump(), row["alarms"].dump())
                       : running(id) ? fmt::format("replica {} does not answer", id)
                                     : fmt::format("replica {} does not run: {}", id, last_words(id)));
    }
    return fmt::format("{}", fmt::join(said, "; "));
}

std::vector<int> Fleet::proofs() {
    std::vector<int> counts(size(), -1);
    for (std::uint16_t id = 0; id < size(); ++id) {
        const Result<std::string> answer = control(id, "evidence");
        const Json json = answer ? Json::parse(*answer, nullptr, false) : Json();
        if (json.is_object() && json["held"].is_number()) {
            counts[id] = json["held"];
        }
    }
    return counts;
}

Result<std::string> Fleet::control(std::uint16_t id, const std::string& line) {
    return operator_->control_sync(consensus::ReplicaId(id), line);
}

}  // namespace loyal::durability
