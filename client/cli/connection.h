// From the global options to a cluster file and a client that is signed in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "client/cli/failure.h"
#include "client/cli/output.h"
#include "client/cli/session_clients.h"
#include "client/client.h"
#include "config/cluster.h"

namespace loyal::cli {

// Options that every command takes, before or after its name.
struct Globals {
    std::string cluster = "./loyal-cluster";  // folder or file
    std::string as;                           // name of a client key below the cluster's folder
    std::string key;                          // or a key file
    std::string timeout;                      // a duration, as given; checked when the arguments are parsed
    OutputFormat format = OutputFormat::simple;
    std::shared_ptr<SessionClients> session;  // in a shell

    [[nodiscard]] std::uint64_t timeout_or(std::uint64_t default_ms) const;
    static constexpr std::uint64_t timeout_ms_max = 86'400'000;
};

inline constexpr std::uint64_t default_timeout_ms = 5'000;

struct Connection {
    config::Cluster cluster;
    std::shared_ptr<client::Client> client;
};

[[nodiscard]] Answer<config::Cluster> load_cluster_of(const std::filesystem::path& path);
// --key, else --as, else LOYAL_KEY, else the key of client `fallback`.
[[nodiscard]] std::filesystem::path key_path_of(const Globals& globals, const config::Cluster& cluster,
                                                const std::string& fallback);

struct ConnectOptions {
    std::string fallback_key = "default";
    std::uint64_t timeout_ms = default_timeout_ms;  // unless --timeout says otherwise
    bool fail_fast = true;
    // In a shell: the client may have served an earlier command and serve a later one. Not for a command that closes
    // it, or that may end while a completion of its own is still to come.
    bool shared = false;
};
// Reads the cluster file and the key; opens no socket before the first operation is asked for.
[[nodiscard]] Answer<Connection> connect(const Globals& globals, const ConnectOptions& options = {});
[[nodiscard]] Answer<std::unique_ptr<client::Client>> sign_in(const config::Cluster& cluster,
                                                              const std::filesystem::path& key,
                                                              std::uint64_t timeout_ms, bool fail_fast);

// Limits are checked here too, so that the message names what the user typed.
[[nodiscard]] Answer<void> check_key(ByteView key);
[[nodiscard]] Answer<void> check_value(ByteView value);
// From `begin` up to, but not including, `end`: there is room for a key in between.
[[nodiscard]] Answer<void> check_range(ByteView begin, ByteView end);

}  // namespace loyal::cli
