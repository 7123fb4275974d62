#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <set>
#include <utility>

#include "config/cluster.h"
#include "config/files.h"
#include "config/limits.h"
#include "config/validate.h"
#include "crypto/identity.h"

namespace loyal::config {
namespace {

using consensus::FaultModel;

constexpr std::size_t file_bytes_max = 1U << 20;
constexpr std::string_view file_name = "cluster.toml";

std::string quoted_names(std::initializer_list<std::string_view> names) {
    return fmt::format("{}", fmt::join(names, ", "));
}

// The fields of one table. The first thing that is wrong is kept in `error`; after that every field reads as its
// default, so that a caller may take all fields and look at the error once.
class Fields {
 public:
    using Names = std::initializer_list<std::string_view>;

    // `where` is "[cluster]". Whatever is not among `known` is an error.
    Fields(const toml::table& table, std::string where, std::optional<Error>& error, Names known)
        : table_(table), where_(std::move(where)), error_(error) {
        for (const auto& [key, node] : table_) {
            if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
                refuse(&node, key.str(), "no such field; " + where_ + " has " + quoted_names(known));
            }
        }
    }

    [[nodiscard]] std::string text(std::string_view key, const std::optional<std::string>& absent = {}) {
        const auto* node = find(key, absent.has_value());
        if (node == nullptr) {
            return absent.value_or("");
        }
        const auto value = node->value_exact<std::string>();
        if (!value) {
            refuse(node, key, "expected a text in quotation marks");
        }
        return value.value_or("");
    }

    template <class T>
    [[nodiscard]] T number(std::string_view key, std::uint64_t min, std::uint64_t max, std::optional<T> absent = {}) {
        const toml::node* node = find(key, absent.has_value());
        if (node == nullptr) {
            return absent.value_or(T{});
        }
        const auto value = node->value_exact<std::int64_t>();
        if (!value) {
            refuse(node, key, "expected a whole number");
            return {};
        }
        if (*value < 0 || static_cast<std::uint64_t>(*value) < min || static_cast<std::uint64_t>(*value) > max) {
            refuse(node, key, fmt::format("{} is out of range; give {} to {}", *value, min, max));
            return {};
        }
        return static_cast<T>(*value);
    }

    // A number with or without a fraction.
    [[nodiscard]] double real(std::string_view key, double min, double max, double absent) {
        const toml::node* node = find(key, true);
        if (node == nullptr) {
            return absent;
        }
        const auto value = node->is_number() ? node->value<double>() : std::nullopt;
        if (!value) {
            refuse(node, key, "expected a number");
            return absent;
        }
        if (!(*value >= min && *value <= max)) {
            refuse(node, key, fmt::format("{} is out of range; give {} to {}", *value, min, max));
            return absent;
        }
        return *value;
    }

    [[nodiscard]] bool flag(std::string_view key, bool absent) {
        const auto* node = find(key, true);
        if (node == nullptr) {
            return absent;
        }
        const auto value = node->value_exact<bool>();
        if (!value) {
            refuse(node, key, "expected true or false");
        }
        return value.value_or(absent);
    }

    // One of a few words; its index.
    [[nodiscard]] std::size_t choice(std::string_view key, Names words, const std::optional<std::string>& absent = {}) {
        const auto word = text(key, absent);
        const auto* found = std::find(words.begin(), words.end(), word);
        if (found == words.end()) {
            refuse(table_.get(key), key, fmt::format("\"{}\" is none of {}", word, quoted_names(words)));
            return 0;
        }
        return static_cast<std::size_t>(found - words.begin());
    }

    template <std::size_t size>
    void base64(std::string_view key, std::array<std::uint8_t, size>& out) {
        const auto bytes = crypto::from_base64(text(key));
        if (!bytes || bytes->size() != size) {
            refuse(table_.get(key), key, fmt::format("expected {} bytes in base64", size));
            return;
        }
        std::copy(bytes->begin(), bytes->end(), out.begin());
    }

    // 64 hexadecimal digits; zero when it is absent.
    void digest(std::string_view key, crypto::Digest& out) {
        const std::string hex = text(key, "");
        if (hex.empty()) {
            return;
        }
        for (std::size_t i = 0; i < out.bytes.size() && 2 * i + 1 < hex.size(); ++i) {
            (void)std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, out.bytes[i], 16);
        }
        if (out.hex() != hex) {
            refuse(table_.get(key), key, "expected the 64 hexadecimal digits that restore wrote");
        }
    }

    [[nodiscard]] std::uint8_t rights(std::string_view key) {
        const auto* node = find(key, false);
        const auto* list = node == nullptr ? nullptr : node->as_array();
        if (list == nullptr) {
            refuse(node, key, "expected a list such as [\"read\", \"write\"]");
            return 0;
        }
        std::uint8_t all = 0;
        for (const auto& item : *list) {
            const auto name = item.value_exact<std::string>();
            const auto right = parse_rights(name.value_or(""));
            if (!right || name->size() == 1) {
                refuse(&item, key, "a right is \"read\", \"write\" or \"admin\"");
                return 0;
            }
            all = static_cast<std::uint8_t>(all | *right);
        }
        return all;
    }

    void refuse(const toml::node* node, std::string_view key, const std::string& why) {
        if (error_) {
            return;
        }
        const auto line = node == nullptr ? 0 : node->source().begin.line;
        const auto place = line == 0 ? std::string() : fmt::format("line {}: ", line);
        error_ = Error{Errc::invalid_argument, fmt::format("{}{} {}: {}", place, where_, key, why)};
    }

 private:
    [[nodiscard]] const toml::node* find(std::string_view key, bool optional) {
        const auto* node = table_.get(key);
        if (node == nullptr && !optional) {
            refuse(&table_, key, "the field is missing");
        }
        return node;
    }

    const toml::table& table_;
    std::string where_;
    std::optional<Error>& error_;
};

class ClusterParser {
 public:
    [[nodiscard]] Result<Cluster> parse(const toml::table& root) {
        check_sections(root);
        read_cluster(section(root, "cluster"));
        read_limits(section(root, "limits"));
        read_timers(section(root, "timers"));
        for_each(root, "replica", limits::replicas_max, [this](const toml::table& table) { read_replica(table); });
        for_each(root, "client", limits::clients_max, [this](const toml::table& table) { read_client(table); });
        if (!error_ && declared_replicas_ != cluster_.replicas.size()) {
            error_ = Error{Errc::invalid_argument,
                           fmt::format("[cluster] replicas: says {}, but there are {} [[replica]] tables; both must "
                                       "tell the same n",
                                       declared_replicas_, cluster_.replicas.size())};
        }
        if (error_) {
            return tl::unexpected(*error_);
        }
        std::stable_sort(cluster_.replicas.begin(), cluster_.replicas.end(),
                         [](const auto& a, const auto& b) { return a.id < b.id; });
        if (auto checked = check_cluster(cluster_); !checked) {
            return tl::unexpected(checked.error());
        }
        if (auto checked = check_id(); !checked) {
            return tl::unexpected(checked.error());
        }
        return std::move(cluster_);
    }

 private:
    void check_sections(const toml::table& root) {
        const Fields fields(root, "the file", error_, {"cluster", "limits", "timers", "replica", "client"});
        if (!error_ && root.get("cluster") == nullptr) {
            error_ = Error{Errc::invalid_argument, "[cluster]: the table is missing; is this a cluster.toml?"};
        }
    }

    // Absent tables read as empty ones.
    [[nodiscard]] const toml::table& section(const toml::table& root, std::string_view name) {
        static const toml::table empty;
        const auto* node = root.get(name);
        if (node != nullptr && !node->is_table() && !error_) {
            error_ = Error{Errc::invalid_argument, fmt::format("{}: expected a table, [{}]", name, name)};
        }
        return node != nullptr && node->is_table() ? *node->as_table() : empty;
    }

    template <class Read>
    void for_each(const toml::table& root, std::string_view name, std::size_t count_max, Read read) {
        const auto* node = root.get(name);
        const auto* list = node == nullptr ? nullptr : node->as_array();
        if (node != nullptr && (list == nullptr || !list->is_homogeneous<toml::table>()) && !error_) {
            error_ = Error{Errc::invalid_argument, fmt::format("{}: expected tables, [[{}]]", name, name)};
        }
        if (list != nullptr && list->size() > count_max && !error_) {
            error_ = Error{Errc::invalid_argument,
                           fmt::format("[[{}]]: {} are too many; at most {}", name, list->size(), count_max)};
        }
        for (std::size_t i = 0; list != nullptr && i < list->size() && !error_; ++i) {
            read(*list->get_as<toml::table>(i));
        }
    }

    void read_cluster(const toml::table& table) {
        Fields fields(table, "[cluster]", error_,
                      {"id", "instance", "protocol_version", "hash", "signature", "fault_model", "crash_mode",
                       "replicas", "epoch", "experiments", "genesis_state", "genesis_cluster"});
        declared_id_ = fields.text("id");
        cluster_.instance = fields.text("instance");
        const ProtocolRules rules;
        if (fields.number<std::uint16_t>("protocol_version", 0, 65535) != rules.protocol_version) {
            fields.refuse(table.get("protocol_version"), "protocol_version",
                          fmt::format("this program speaks version {}; use the release that made the cluster",
                                      rules.protocol_version));
        }
        (void)fields.choice("hash", {rules.hash});
        (void)fields.choice("signature", {rules.signature});
        cluster_.fault_model =
            fields.choice("fault_model", {"byzantine", "crash"}) == 0 ? FaultModel::byzantine : FaultModel::crash;
        cluster_.crash_mode =
            fields.choice("crash_mode", {"recovery", "stop"}, "recovery") == 0 ? CrashMode::recovery : CrashMode::stop;
        declared_replicas_ = fields.number<std::size_t>("replicas", limits::replicas_min, limits::replicas_max);
        cluster_.epoch = fields.number<std::uint32_t>("epoch", 0, UINT32_MAX, 0U);
        cluster_.experiments = fields.flag("experiments", false);
        fields.digest("genesis_state", cluster_.genesis_state);
        fields.digest("genesis_cluster", cluster_.genesis_cluster);
        if (cluster_.genesis_state.is_zero() != cluster_.genesis_cluster.is_zero()) {
            fields.refuse(&table, "genesis_state", "belongs together with genesis_cluster; restore writes both");
        }
        if (!is_valid_instance(cluster_.instance)) {
            fields.refuse(table.get("instance"), "instance", "expected the 32 hexadecimal digits that init wrote");
        }
    }

    void read_limits(const toml::table& table) {
        Fields fields(table, "[limits]", error_,
                      {"window", "log_quota_bytes", "checkpoint_interval", "history_revisions"});
        cluster_.window = fields.number("window", 1, limits::window_max, std::optional(limits::window_default));
        cluster_.checkpoint_interval = fields.number("checkpoint_interval", 0, limits::checkpoint_interval_max,
                                                     std::optional<std::uint64_t>(limits::checkpoint_interval_default));
        cluster_.history_revisions =
            fields.number("history_revisions", limits::history_revisions_min, limits::history_revisions_max,
                          std::optional<std::uint64_t>(limits::history_revisions_default));
        cluster_.log_quota_bytes =
            fields.number("log_quota_bytes", 0, limits::lmdb_map_bytes, std::optional<std::uint64_t>(0));
    }

    void read_timers(const toml::table& table) {
        Fields fields(
            table, "[timers]", error_,
            {"heartbeat_ms", "order_latency_ms", "progress_min_ms", "progress_max_ms", "precision_ms",
             "message_delay_ms", "detector", "phi_threshold", "tenure_ms", "tenure_blocks", "recovery_rotation_ms"});
        const auto read = [&fields](std::string_view key, std::uint64_t& timer) {
            timer = fields.number(key, 1, timer_ms_max, std::optional(timer));
        };
        read("heartbeat_ms", cluster_.timers.heartbeat_ms);
        read("order_latency_ms", cluster_.timers.order_latency_ms);
        read("progress_min_ms", cluster_.timers.progress_min_ms);
        read("progress_max_ms", cluster_.timers.progress_max_ms);
        read("precision_ms", cluster_.timers.precision_ms);
        read("message_delay_ms", cluster_.timers.message_delay_ms);
        read("recovery_rotation_ms", cluster_.timers.recovery_rotation_ms);
        Timers& timers = cluster_.timers;
        timers.adaptive = fields.choice("detector", {"adaptive", "fixed"}, "adaptive") == 0;
        timers.phi_threshold = fields.real("phi_threshold", phi_threshold_min, phi_threshold_max, timers.phi_threshold);
        timers.tenure_ms = fields.number("tenure_ms", 0, tenure_ms_max, std::optional(timers.tenure_ms));
        timers.tenure_blocks =
            fields.number("tenure_blocks", 0, tenure_blocks_max, std::optional(timers.tenure_blocks));
    }

    void read_replica(const toml::table& table) {
        Fields fields(table, fmt::format("[[replica]] (number {} in the file)", cluster_.replicas.size() + 1), error_,
                      {"id", "public_key", "advertise", "listen", "peer_port", "client_port", "http_port", "fault"});
        ReplicaEntry replica;
        replica.id = fields.number<std::uint16_t>("id", 0, declared_replicas_ > 0 ? declared_replicas_ - 1 : 0);
        fields.base64("public_key", replica.public_key.bytes);
        replica.advertise = fields.text("advertise");
        replica.listen = fields.text("listen", replica.advertise);
        replica.peer_port = fields.number<std::uint16_t>("peer_port", 1, 65535);
        replica.client_port = fields.number<std::uint16_t>("client_port", 1, 65535);
        replica.http_port = fields.number<std::uint16_t>("http_port", 1, 65535);
        replica.fault = fields.text("fault", "");
        cluster_.replicas.push_back(std::move(replica));
    }

    void read_client(const toml::table& table) {
        Fields fields(table, fmt::format("[[client]] (number {} in the file)", cluster_.clients.size() + 1), error_,
                      {"name", "public_key", "rights"});
        ClientEntry client;
        client.name = fields.text("name");
        fields.base64("public_key", client.public_key.bytes);
        client.rights = fields.rights("rights");
        cluster_.clients.push_back(std::move(client));
    }

    [[nodiscard]] Result<void> check_id() {
        cluster_.cluster_id = compute_cluster_id(cluster_);
        if (cluster_.cluster_id.hex() != declared_id_) {
            return fail(Errc::invalid_argument,
                        "[cluster] id: does not belong to the other fields; the instance, fault model, replicas' and "
                        "clients' ids, keys, names and rights cannot be edited after init: take the file as init wrote "
                        "it, or make a new cluster");
        }
        return {};
    }

    Cluster cluster_;
    std::optional<Error> error_;
    std::string declared_id_;
    std::size_t declared_replicas_ = 0;
};

Result<Cluster> parse_table(std::string_view text) {
    try {
        const toml::table root = toml::parse(text);
        return ClusterParser().parse(root);
    } catch (const toml::parse_error& error) {
        return fail(Errc::invalid_argument, fmt::format("line {}, column {}: not TOML: {}", error.source().begin.line,
                                                        error.source().begin.column, error.description()));
    } catch (const std::exception& error) {
        return fail(Errc::invalid_argument, error.what());
    }
}

}  // namespace

Result<Cluster> parse_cluster(std::string_view text, const std::filesystem::path& path) {
    if (text.size() > file_bytes_max) {
        return fail(Errc::invalid_argument, fmt::format("{}: larger than {} bytes", path.string(), file_bytes_max));
    }
    auto cluster = parse_table(text);
    if (!cluster) {
        return fail(cluster.error().code, path.string() + ": " + cluster.error().message);
    }
    cluster->directory = path.parent_path();
    return cluster;
}

Result<Cluster> load_cluster(const std::filesystem::path& path) {
    std::error_code error;
    std::filesystem::path file = std::filesystem::absolute(path, error).lexically_normal();
    if (error) {
        return fail(Errc::io, "cannot find the current folder: " + error.message());
    }
    if (std::filesystem::is_directory(file, error)) {
        file /= file_name;
    }
    Bytes buffer(file_bytes_max);
    const auto size = read_file(file, buffer, Secrecy::open_to_all);
    if (!size) {
        if (size.error().code == Errc::not_found) {
            return fail(Errc::not_found, "there is no cluster at " + file.string() +
                                             "; name one with --cluster, or create it: loyal cluster init " +
                                             file.parent_path().string());
        }
        return tl::unexpected(size.error());
    }
    return parse_cluster(text_of(ByteView(buffer).first(*size)), file);
}

}  // namespace loyal::config
