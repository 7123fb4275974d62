#include "tests/compare/etcd_process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "tests/compare/etcd_client.h"

namespace loyal::compare {

namespace fs = std::filesystem;

namespace {

constexpr int attempts_max = 5;
constexpr std::chrono::seconds start_limit{60};

// One that the kernel picks. etcd cannot be asked to listen at port 0: its JSON gateway connects to the port that it
// was told, so between here and there somebody else may take it, and then another one is tried.
std::uint16_t free_port() {
    const int link = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool found = ::bind(link, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                       ::getsockname(link, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(link);
    if (!found) {
        throw std::runtime_error("no free port on 127.0.0.1");
    }
    return ntohs(address.sin_port);
}

}  // namespace

std::optional<fs::path> EtcdProcess::installed() {
    const char* path = std::getenv("PATH");
    std::istringstream folders(path == nullptr ? "/usr/bin" : path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        const fs::path program = fs::path(folder) / "etcd";
        if (::access(program.c_str(), X_OK) == 0) {
            return program;
        }
    }
    return std::nullopt;
}

EtcdProcess::EtcdProcess() {
    const auto program = installed();
    if (!program) {
        throw std::runtime_error("etcd is not installed");
    }
    for (int attempt = 1; attempt <= attempts_max; ++attempt) {
        if (start(*program, attempt)) {
            return;
        }
    }
    throw std::runtime_error("etcd found no port in " + std::to_string(attempts_max) + " attempts");
}

bool EtcdProcess::start(const fs::path& program, int attempt) {
    port_ = free_port();
    const std::string client_url = "http://127.0.0.1:" + std::to_string(port_);
    // Nobody is its peer, so that address is only a name.
    const std::string peer_url = "http://127.0.0.1:1";
    process_ = std::make_unique<system_test::Process>(std::vector<std::string>{
        program.string(), "--name", "compared", "--data-dir", folder_.path() / ("data-" + std::to_string(attempt)),
        "--listen-client-urls", client_url, "--advertise-client-urls", client_url, "--listen-peer-urls",
        "http://127.0.0.1:0", "--initial-advertise-peer-urls", peer_url, "--initial-cluster", "compared=" + peer_url,
        // Alone it elects itself at once, and what is compared need not outlive a loss of power.
        "--heartbeat-interval", "20", "--election-timeout", "100", "--unsafe-no-fsync", "--logger", "zap",
        "--log-level", "warn", "--log-outputs", "stderr"});
    const bool up = system_test::eventually([this] { return !process_->running() || answers(); }, start_limit);
    if (up && process_->running()) {
        return true;
    }
    process_->signal(SIGKILL);
    const std::string log = process_->finish().error;
    if (log.find("address already in use") == std::string::npos) {
        throw std::runtime_error("etcd does not answer; its log:\n" + log);
    }
    return false;
}

bool EtcdProcess::answers() const {
    try {
        EtcdClient client(port_);
        return client.call("kv/range", {{"key", "YQ=="}}).contains("header");
    } catch (const std::runtime_error&) {
        return false;  // not yet
    }
}

std::string EtcdProcess::version() const {
    EtcdClient client(port_);
    return client.call("maintenance/status", nlohmann::json::object()).value("version", "unknown");
}

}  // namespace loyal::compare
