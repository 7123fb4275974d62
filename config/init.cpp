// `loyal cluster init`. Order on disk: folders, keys, birth records, then cluster.toml by one rename. A crash before
// the rename leaves no cluster; one after it leaves a whole one.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <set>

#include "config/cluster.h"
#include "config/files.h"
#include "config/limits.h"
#include "config/ports.h"
#include "config/validate.h"
#include "crypto/identity.h"
#include "crypto/random.h"

namespace loyal::config {
namespace {

using consensus::FaultModel;

constexpr std::uint16_t client_port_offset = 100;
constexpr std::uint16_t http_port_offset = 200;
static_assert(limits::replicas_max <= client_port_offset, "the three port ranges do not overlap");

// What init has created, removed again in reverse order unless it is kept.
class Undo {
 public:
    Undo() = default;
    ~Undo() {
        std::error_code ignored;
        for (const auto& tree : trees_) {
            std::filesystem::remove_all(tree, ignored);
        }
        for (auto path = created_.rbegin(); path != created_.rend(); ++path) {
            std::filesystem::remove(*path, ignored);
        }
    }
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;

    void add(std::filesystem::path path) { created_.push_back(std::move(path)); }
    void add_tree(std::filesystem::path path) { trees_.push_back(std::move(path)); }
    void keep() noexcept {
        created_.clear();
        trees_.clear();
    }

 private:
    std::vector<std::filesystem::path> created_;
    std::vector<std::filesystem::path> trees_;  // with all that is in them
};

Result<void> check_clients(const InitOptions& options) {
    std::set<std::string> names = {"default", "admin"};
    for (const auto& client : options.clients) {
        if (!crypto::is_valid_key_name(client.name)) {
            return invalid(
                fmt::format("--client: \"{}\" is not a name; use 1 to {} letters, digits, dots, dashes and "
                            "underscores, beginning with a letter or digit",
                            client.name, limits::client_name_bytes_max));
        }
        if (!names.insert(client.name).second) {
            return invalid(
                fmt::format("--client: the name {} is taken; `default` and `admin` always exist", client.name));
        }
        if (names_of_rights(client.rights).empty()) {
            return invalid(fmt::format("--client: {} has no right; give some of read, write and admin", client.name));
        }
    }
    if (names.size() > limits::clients_max) {
        return invalid(fmt::format("--client: {} clients are too many; at most {}", names.size(), limits::clients_max));
    }
    return {};
}

Result<void> check_hosts(const InitOptions& options) {
    if (!options.hosts.empty() && options.hosts.size() != options.replicas) {
        return invalid(fmt::format("--hosts: {} hosts for {} replicas; name one for each", options.hosts.size(),
                                   options.replicas));
    }
    for (const auto& host : options.hosts) {
        if (!is_valid_host(host) || host == "0.0.0.0" || host == "::") {
            return invalid(
                fmt::format("--hosts: \"{}\" is nothing that others can dial; give a host name or an "
                            "address, without port and brackets",
                            host));
        }
    }
    return {};
}

Result<void> check_options(const InitOptions& options) {
    if (auto checked = check_replica_count(options.fault_model, options.replicas); !checked) {
        return fail(checked.error().code, "--replicas: " + checked.error().message);
    }
    if (options.crash_mode == CrashMode::stop && options.fault_model != FaultModel::crash) {
        return invalid("--crash-mode stop: belongs to --fault-model crash");
    }
    if (options.base_port != 0 && options.base_port + http_port_offset + options.replicas - 1 > UINT16_MAX) {
        return invalid(fmt::format("--base-port: {} leaves no room for {} replicas; give at most {}", options.base_port,
                                   options.replicas, UINT16_MAX - http_port_offset - options.replicas + 1));
    }
    return check_hosts(options).and_then([&] { return check_clients(options); });
}

// A replica binds the address others dial; of a host name only the resolver of that machine knows the address, which on
// many is a loopback one, so it binds all.
std::string listen_of(const std::string& host) {
    if (host == "localhost") {
        return "127.0.0.1";
    }
    return is_address(host) ? host : "0.0.0.0";
}

Result<void> assign_addresses(const InitOptions& options, Cluster& cluster) {
    std::vector<std::string> wanted;
    for (std::size_t i = 0; i < options.replicas; ++i) {
        auto& replica = cluster.replicas.emplace_back();
        replica.id = static_cast<std::uint16_t>(i);
        replica.advertise = options.hosts.empty() ? "127.0.0.1" : options.hosts[i];
        replica.listen = listen_of(replica.advertise);
        replica.peer_port = static_cast<std::uint16_t>(options.base_port + i);
        replica.client_port = static_cast<std::uint16_t>(replica.peer_port + client_port_offset);
        replica.http_port = static_cast<std::uint16_t>(replica.peer_port + http_port_offset);
        wanted.insert(wanted.end(), 3, replica.listen);
    }
    if (options.base_port != 0) {
        return {};
    }
    const auto ports = find_free_ports(wanted);
    if (!ports) {
        return tl::unexpected(ports.error());
    }
    auto port = ports->begin();
    for (auto& replica : cluster.replicas) {
        replica.peer_port = *port++;
        replica.client_port = *port++;
        replica.http_port = *port++;
    }
    return {};
}

class Initializer {
 public:
    Initializer(std::filesystem::path directory, const InitOptions& options) : options_(options) {
        cluster_.directory = std::move(directory);
    }

    [[nodiscard]] Result<InitReport> run() {
        fill_in_options();
        return assign_addresses(options_, cluster_)
            .and_then([this] { return open_directory(); })
            .and_then([this] { return make_folders(); })
            .and_then([this] { return make_keys(); })
            .and_then([this] { return make_births(); })
            .and_then([this] { return publish(); })
            .map([this] {
                undo_.keep();
                return InitReport{std::move(cluster_), std::move(warnings_)};
            });
    }

 private:
    void fill_in_options() {
        std::array<std::uint8_t, 16> instance{};
        crypto::fill_random(instance);
        cluster_.instance = to_hex(instance);
        cluster_.fault_model = options_.fault_model;
        cluster_.crash_mode = options_.crash_mode;
        cluster_.experiments = options_.experiments;
        cluster_.checkpoint_interval = options_.checkpoint_interval;
        cluster_.history_revisions = options_.history_revisions;
        cluster_.genesis_state = options_.genesis_state;
        cluster_.genesis_cluster = options_.genesis_cluster;
        warnings_ = warnings_about(options_.fault_model, options_.replicas);
    }

    // Ours alone from here on: two at a time would undo each other's work.
    [[nodiscard]] Result<void> open_directory() {
        const auto& path = cluster_.directory;
        if (auto made = make_folder_if_missing(path, 0755); !made) {
            return made;
        }
        lock_ = FileHandle(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!lock_.valid()) {
            return fail_errno("cannot open folder", path, errno);
        }
        if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
            return fail(Errc::conflict, "another process is setting up " + path.string() + " right now");
        }
        std::error_code error;
        if (std::filesystem::exists(std::filesystem::symlink_status(path / "cluster.toml", error))) {
            return fail(Errc::conflict, path.string() + " already holds a cluster; start it with: loyal cluster up " +
                                            path.string() + ", or end it for good with: loyal cluster wipe " +
                                            path.string());
        }
        return {};
    }

    [[nodiscard]] Result<void> make_folder_if_missing(const std::filesystem::path& path, mode_t mode) {
        auto made = make_folder(path, mode);
        if (made) {
            undo_.add(path);
            return {};
        }
        std::error_code error;
        if (made.error().code == Errc::conflict && std::filesystem::is_directory(path, error)) {
            return {};
        }
        if (made.error().code == Errc::conflict) {
            return fail(Errc::conflict, path.string() + " exists and is not a folder");
        }
        return made;
    }

    [[nodiscard]] Result<void> make_folders() {
        for (const auto* name : {"keys", "data", "run"}) {
            if (auto made = make_folder_if_missing(cluster_.directory / name, 0700); !made) {
                return made;
            }
        }
        return {};
    }

    // A key that is there already is kept: `wipe --keep-keys` ends a cluster, not its members. Signatures of the old
    // cluster mean nothing in the new one, whose id is another.
    [[nodiscard]] Result<crypto::PublicKey> make_key(const std::filesystem::path& path, std::string_view kind,
                                                     const std::string& name) {
        auto key = crypto::read_key_file(path);
        if (key) {
            if (key->kind != kind || key->name != name) {
                return fail(Errc::conflict,
                            fmt::format("{} is the key of {} {}; move it away", path.string(), key->kind, key->name));
            }
            ++kept_keys_;
            return key->identity.public_key();
        }
        if (key.error().code != Errc::not_found) {
            return tl::unexpected(key.error());
        }
        const crypto::KeyFile fresh{std::string(kind), name, crypto::Identity::generate()};
        if (auto written = crypto::write_key_file(path, fresh); !written) {
            return tl::unexpected(written.error());
        }
        undo_.add(path);
        return fresh.identity.public_key();
    }

    [[nodiscard]] Result<void> make_keys() {
        for (auto& replica : cluster_.replicas) {
            const auto key = make_key(cluster_.replica_key_path(replica.id), "replica", std::to_string(replica.id));
            if (!key) {
                return tl::unexpected(key.error());
            }
            replica.public_key = *key;
        }
        std::vector<ClientRequest> clients = {{"default", right_read | right_write},
                                              {"admin", right_read | right_write | right_admin}};
        clients.insert(clients.end(), options_.clients.begin(), options_.clients.end());
        for (const auto& client : clients) {
            const auto key = make_key(cluster_.client_key_path(client.name), "client", client.name);
            if (!key) {
                return tl::unexpected(key.error());
            }
            cluster_.clients.push_back({client.name, *key, client.rights});
        }
        if (kept_keys_ > 0) {
            warnings_.push_back(fmt::format("kept {} keys that were already in {}", kept_keys_,
                                            (cluster_.directory / "keys").string()));
        }
        return {};
    }

    [[nodiscard]] Result<void> make_births() {
        cluster_.cluster_id = compute_cluster_id(cluster_);
        for (const auto& replica : cluster_.replicas) {
            const auto path = cluster_.data_path(replica.id);
            if (auto made = make_folder_if_missing(path, 0700); !made) {
                return made;
            }
            if (auto written = write_birth(path, {cluster_.cluster_id, replica.id}); !written) {
                return written;
            }
            undo_.add(path / "birth");
        }
        if (auto filled = fill_data(); !filled) {
            return filled;
        }
        const auto parent = cluster_.directory.parent_path();
        return sync_folder(cluster_.directory / "data")
            .and_then([this] { return sync_folder(cluster_.directory); })
            .and_then([&parent] { return sync_folder(parent.empty() ? "/" : parent); });
    }

    [[nodiscard]] Result<void> fill_data() {
        if (!options_.fill_data) {
            return {};
        }
        for (const auto& replica : cluster_.replicas) {
            const auto path = cluster_.data_path(replica.id);
            auto filled = options_.fill_data(cluster_, replica.id);
            std::error_code ignored;
            for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
                if (entry.path().filename() != "birth") {
                    undo_.add_tree(entry.path());
                }
            }
            if (!filled) {
                return filled;
            }
        }
        return {};
    }

    [[nodiscard]] Result<void> publish() {
        const auto path = cluster_.directory / "cluster.toml";
        const std::string text = render_cluster(cluster_);
        // What was written must mean what was meant.
        const auto parsed = parse_cluster(text, path);
        if (!parsed) {
            return fail(Errc::internal, "the new cluster file does not read back: " + parsed.error().message);
        }
        return write_new_file(path, view_of(text), 0644);
    }

    const InitOptions& options_;
    Cluster cluster_;
    std::vector<std::string> warnings_;
    std::size_t kept_keys_ = 0;
    Undo undo_;
    FileHandle lock_;
};

}  // namespace

Result<InitReport> init_cluster(const std::filesystem::path& directory, const InitOptions& options) {
    if (auto checked = check_options(options); !checked) {
        return tl::unexpected(checked.error());
    }
    crypto::initialize();
    std::error_code error;
    auto path = std::filesystem::absolute(directory, error).lexically_normal();
    if (error || directory.empty()) {
        return invalid("\"" + directory.string() + "\" is not a path for a cluster");
    }
    if (!path.has_filename()) {  // "dir/" normalises to "dir/"
        path = path.parent_path();
    }
    return Initializer(path, options).run();
}

}  // namespace loyal::config
