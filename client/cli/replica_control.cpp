#include "client/cli/replica_control.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/process.h"

namespace loyal::cli {

namespace {

using client::ProcessHandle;
using Clock = std::chrono::steady_clock;
constexpr std::uint64_t up_timeout_ms = 30'000;
constexpr std::uint64_t look_ms = 200;  // how long one look at the replicas may take
constexpr std::size_t last_words = 8;   // lines of a dead replica's log

Answer<std::vector<std::uint16_t>> chosen(const config::Cluster& cluster, const std::vector<std::uint16_t>& only) {
    std::vector<std::uint16_t> ids;
    for (const std::uint16_t id : only) {
        if (id >= cluster.replicas.size()) {
            return refuse_input(fmt::format("--only: there is no replica {}; this cluster has 0 to {}", id,
                                            cluster.replicas.size() - 1));
        }
        if (std::find(ids.begin(), ids.end(), id) == ids.end()) {
            ids.push_back(id);
        }
    }
    return ids;
}

// The replicas that `up` watches: processes of this run, and those that already ran.
class Starting {
 public:
    Starting(const config::Cluster& cluster, const Globals& globals) : cluster_(cluster), globals_(globals) {}

    Answer<void> start(const std::vector<std::uint16_t>& ids);
    // Until a quorum serves and every replica has answered or died, or the time is over.
    Answer<void> wait();
    UpResult take_result();

 private:
    struct Replica {
        ProcessHandle process;
        bool ours = false;  // started by this run, so its exit code can be had
        bool dead = false;
        std::string role;  // once it answered
    };

    void look_for_deaths();
    void pause() const;
    void ask_status(client::Client& client);
    [[nodiscard]] bool all_settled() const;
    [[nodiscard]] std::size_t living() const;

    const config::Cluster& cluster_;
    const Globals& globals_;
    std::map<std::uint16_t, Replica> replicas_;
    UpResult result_;
};

Answer<void> Starting::start(const std::vector<std::uint16_t>& ids) {
    const Result<std::filesystem::path> loyald = client::find_loyald();
    if (!loyald) {
        return tl::unexpected<Failure>(failure_of(loyald.error()));
    }
    for (const std::uint16_t id : ids) {
        if (std::optional<ProcessHandle> running = client::find_replica(cluster_, id)) {
            replicas_.emplace(id, Replica{std::move(*running), false, false, ""});
            continue;
        }
        Result<ProcessHandle> started = client::start_replica(*loyald, cluster_, id);
        if (!started) {
            return tl::unexpected<Failure>(failure_of(started.error()));
        }
        replicas_.emplace(id, Replica{std::move(*started), true, false, ""});
    }
    return {};
}

void Starting::look_for_deaths() {
    for (auto& [id, replica] : replicas_) {
        if (replica.dead || !replica.process.wait_for_end(0)) {
            continue;
        }
        replica.dead = true;
        const std::string how = replica.ours ? replica.process.how_it_ended() : "it ended";
        replica.role = "died: " + how;
        std::string text = fmt::format("replica {} died while starting, {}; the end of {}:\n", id, how,
                                       cluster_.log_path(id).string());
        for (const std::string& line : client::last_lines(cluster_.log_path(id), last_words)) {
            text += "  " + line + "\n";
        }
        result_.deaths.push_back(text);
        client::remove_pid_file(cluster_, id);
    }
}

// A moment, shorter when a replica ends in it.
void Starting::pause() const {
    std::vector<pollfd> entries;
    for (const auto& [id, replica] : replicas_) {
        if (!replica.dead) {
            entries.push_back({replica.process.fd(), POLLIN, 0});
        }
    }
    (void)::poll(entries.data(), entries.size(), 20);
}

void Starting::ask_status(client::Client& client) {
    for (const client::ReplicaStatus& answer : client.status_sync(look_ms)) {
        const auto found = replicas_.find(answer.replica.value);
        if (found == replicas_.end() || found->second.dead || !answer.reachable) {
            continue;
        }
        const nlohmann::json said = nlohmann::json::parse(answer.json, nullptr, false);
        found->second.role = said.is_object() && said.contains("role") && said["role"].is_string()
                                 ? said["role"].get<std::string>()
                                 : "answering";
    }
}

bool Starting::all_settled() const {
    return std::all_of(replicas_.begin(), replicas_.end(),
                       [](const auto& entry) { return !entry.second.role.empty(); });
}

std::size_t Starting::living() const {
    return static_cast<std::size_t>(
        std::count_if(replicas_.begin(), replicas_.end(), [](const auto& entry) { return !entry.second.dead; }));
}

Answer<void> Starting::wait() {
    const std::size_t quorum = cluster_.membership().quorum().q;
    result_.quorum_possible = replicas_.size() >= quorum;
    const std::uint64_t timeout_ms = globals_.timeout_or(up_timeout_ms);
    auto client = sign_in(cluster_, key_path_of(globals_, cluster_, "default"), timeout_ms, false);
    if (!client) {
        // A machine of a larger cluster may hold a replica's key and no client's.
        result_.quorum_possible = false;
        result_.why = client.error().message;
        const auto deadline = Clock::now() + std::chrono::seconds(2);
        while (Clock::now() < deadline && living() > 0) {
            pause();
            look_for_deaths();
        }
        return {};
    }
    // One linearizable read, under way until a quorum can answer it. Completions come on the client's thread.
    const auto read = std::make_shared<std::promise<client::ReadResult>>();
    std::future<client::ReadResult> answer = read->get_future();
    kvstore::Range range;
    range.begin = bytes_of("up");
    (*client)->read(range, [read](const client::ReadResult& result) { read->set_value(result); });

    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    while (Clock::now() < deadline) {
        look_for_deaths();
        if (!result_.serving && answer.valid() &&
            answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
            const client::ReadResult got = answer.get();
            result_.serving = got.ok;
            result_.why = got.why;
            if (got.denied) {
                return refuse(
                    Exit::not_allowed, "not_allowed",
                    "the replicas are up, but do not know this client's key, so it cannot be seen whether they serve");
            }
        }
        ask_status(**client);
        pause();
        look_for_deaths();
        const bool enough = result_.serving || !result_.quorum_possible;
        if (enough && all_settled()) {
            break;
        }
        if (!result_.serving && living() == 0) {
            result_.why = "every replica of this machine died";
            break;
        }
    }
    (*client)->close();
    return {};
}

UpResult Starting::take_result() {
    for (const auto& [id, replica] : replicas_) {
        ReplicaLine line;
        line.id = id;
        if (!replica.dead) {
            line.pid = replica.process.pid();
        }
        line.state = replica.role.empty() ? "starting" : replica.role;
        result_.replicas.push_back(std::move(line));
    }
    return std::move(result_);
}

}  // namespace

Answer<UpResult> bring_up(const config::Cluster& cluster, const Globals& globals,
                          const std::vector<std::uint16_t>& only) {
    Answer<std::vector<std::uint16_t>> ids = chosen(cluster, only);
    if (!ids) {
        return tl::unexpected<Failure>(std::move(ids.error()));
    }
    if (ids->empty()) {
        for (const config::ReplicaEntry& replica : cluster.replicas) {
            if (client::is_local(replica)) {
                ids->push_back(replica.id);
            }
        }
    }
    if (ids->empty()) {
        return refuse_input(
            "no replica of this cluster has an address of this machine; --only N starts one all the same");
    }
    const Result<client::ClusterLock> lock = client::ClusterLock::take(cluster);
    if (!lock) {
        return tl::unexpected<Failure>(failure_of(lock.error()));
    }
    Starting starting(cluster, globals);
    if (const Answer<void> started = starting.start(*ids); !started) {
        return tl::unexpected<Failure>(started.error());
    }
    if (const Answer<void> waited = starting.wait(); !waited) {
        return tl::unexpected<Failure>(waited.error());
    }
    return starting.take_result();
}

Answer<std::vector<ReplicaLine>> bring_down(const config::Cluster& cluster, const std::vector<std::uint16_t>& only,
                                            std::uint64_t grace_ms) {
    Answer<std::vector<std::uint16_t>> ids = chosen(cluster, only);
    if (!ids) {
        return tl::unexpected<Failure>(std::move(ids.error()));
    }
    if (ids->empty()) {
        for (const config::ReplicaEntry& replica : cluster.replicas) {
            ids->push_back(replica.id);
        }
    }
    const Result<client::ClusterLock> lock = client::ClusterLock::take(cluster);
    if (!lock) {
        return tl::unexpected<Failure>(failure_of(lock.error()));
    }
    std::vector<ReplicaLine> lines;
    std::vector<std::optional<ProcessHandle>> processes;
    for (const std::uint16_t id : *ids) {
        processes.push_back(client::find_replica(cluster, id));
        ReplicaLine& line = lines.emplace_back();
        line.id = id;
        line.state = processes.back() ? "stopped" : "was not running";
        if (processes.back()) {
            line.pid = processes.back()->pid();
            (void)processes.back()->signal(SIGTERM);
        }
    }
    const auto deadline = Clock::now() + std::chrono::milliseconds(grace_ms);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (processes[i]) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
            if (!processes[i]->wait_for_end(static_cast<int>(std::max<std::int64_t>(left, 0)))) {
                (void)processes[i]->signal(SIGKILL);
                const bool ended = processes[i]->wait_for_end(5'000);
                lines[i].state =
                    ended ? fmt::format("killed: it did not stop within {} s", grace_ms / 1000) : "does not end";
            }
        }
        if (lines[i].state != "does not end") {
            client::remove_pid_file(cluster, lines[i].id);
        }
    }
    return lines;
}

}  // namespace loyal::cli
