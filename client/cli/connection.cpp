#include "client/cli/connection.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "config/duration.h"
#include "config/limits.h"
#include "crypto/identity.h"

namespace loyal::cli {

std::uint64_t Globals::timeout_or(std::uint64_t default_ms) const {
    return timeout.empty() ? default_ms : parse_duration_ms(timeout, timeout_ms_max).value_or(default_ms);
}

Answer<config::Cluster> load_cluster_of(const std::filesystem::path& path) {
    Result<config::Cluster> cluster = config::load_cluster(path);
    if (!cluster) {
        Failure failure = input_failure_of(cluster.error());
        if (cluster.error().code == Errc::not_found) {
            failure.message +=
                "; name the cluster with --cluster DIR (or LOYAL_CLUSTER), or make one with `loyal cluster init DIR`";
        }
        return tl::unexpected<Failure>(std::move(failure));
    }
    return std::move(*cluster);
}

std::filesystem::path key_path_of(const Globals& globals, const config::Cluster& cluster, const std::string& fallback) {
    if (!globals.key.empty()) {
        return globals.key;
    }
    if (!globals.as.empty()) {
        return cluster.client_key_path(globals.as);
    }
    if (const char* variable = std::getenv("LOYAL_KEY"); variable != nullptr && *variable != '\0') {
        return variable;
    }
    return cluster.client_key_path(fallback);
}

Answer<std::unique_ptr<client::Client>> sign_in(const config::Cluster& cluster, const std::filesystem::path& key,
                                                std::uint64_t timeout_ms, bool fail_fast) {
    Result<crypto::KeyFile> file = crypto::read_key_file(key);
    if (!file) {
        Failure failure = input_failure_of(file.error());
        failure.message = fmt::format("client key: {}", failure.message);
        return tl::unexpected<Failure>(std::move(failure));
    }
    if (file->kind != "client") {
        return refuse_input(fmt::format("{} is the key of a {}, not of a client", key.string(), file->kind));
    }
    client::ClientOptions options;
    options.cluster = cluster;
    options.identity = std::make_shared<crypto::Identity>(std::move(file->identity));
    options.timeout_ms = timeout_ms;
    options.fail_fast = fail_fast;
    Result<std::unique_ptr<client::Client>> client = client::Client::open(std::move(options));
    if (!client) {
        return tl::unexpected<Failure>(failure_of(client.error()));
    }
    return std::move(*client);
}

namespace {

// What tells apart clients that are kept: who talks to which cluster, and how. A file that was written anew is another.
std::string session_name(const config::Cluster& cluster, const std::filesystem::path& key, std::uint64_t timeout_ms,
                         bool fail_fast) {
    std::error_code error;
    const auto age = [&](const std::filesystem::path& path) {
        return std::filesystem::last_write_time(path, error).time_since_epoch().count();
    };
    return fmt::format("{} {} {} {} {} {}", cluster.cluster_id.hex(), key.string(), age(key),
                       age(cluster.directory / "cluster.toml"), timeout_ms, fail_fast);
}

}  // namespace

Answer<Connection> connect(const Globals& globals, const ConnectOptions& options) {
    Answer<config::Cluster> cluster = load_cluster_of(globals.cluster);
    if (!cluster) {
        return tl::unexpected<Failure>(std::move(cluster.error()));
    }
    const std::filesystem::path key = key_path_of(globals, *cluster, options.fallback_key);
    const std::uint64_t timeout_ms = globals.timeout_or(options.timeout_ms);
    const bool shared = options.shared && globals.session != nullptr;
    const std::string name = shared ? session_name(*cluster, key, timeout_ms, options.fail_fast) : "";
    if (shared) {
        if (auto kept = globals.session->find(name)) {
            return Connection{std::move(*cluster), std::move(kept)};
        }
    }
    auto opened = sign_in(*cluster, key, timeout_ms, options.fail_fast);
    if (!opened) {
        return tl::unexpected<Failure>(std::move(opened.error()));
    }
    std::shared_ptr<client::Client> client = std::move(*opened);
    if (shared) {
        globals.session->keep(name, client);
    } else if (globals.session != nullptr) {
        globals.session->watch(client);
    }
    return Connection{std::move(*cluster), std::move(client)};
}

Answer<void> check_key(ByteView key) {
    if (key.empty()) {
        return refuse_input("the key is empty; a key has 1 to 480 bytes");
    }
    if (key.size() > limits::key_bytes_max) {
        return refuse_input(fmt::format("the key has {} bytes; the limit is {}", key.size(), limits::key_bytes_max));
    }
    return {};
}

Answer<void> check_range(ByteView begin, ByteView end) {
    if (!std::lexicographical_compare(begin.begin(), begin.end(), end.begin(), end.end())) {
        return refuse_input("the range is empty: its end comes before its beginning, or is the same");
    }
    return {};
}

Answer<void> check_value(ByteView value) {
    if (value.size() > limits::value_bytes_max) {
        return refuse_input(
            fmt::format("the value has {} bytes; the limit is {} (1 MiB)", value.size(), limits::value_bytes_max));
    }
    return {};
}

}  // namespace loyal::cli
