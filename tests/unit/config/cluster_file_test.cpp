#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/cluster.h"
#include "config/limits.h"
#include "crypto/identity.h"
#include "tests/unit/config/sample_cluster.h"
#include "tests/unit/config/temporary_folder.h"

namespace loyal::config {
namespace {

using loyal::test::TemporaryFolder;
using loyal::test::write_text;
using test::key_of;
using test::replaced;
using test::sample_cluster;
using testing::HasSubstr;

std::string key_text(std::uint8_t number) {
    return crypto::to_base64(key_of(number).bytes);
}
std::string sample_text() {
    return render_cluster(sample_cluster());
}

std::string error_of(const std::string& text) {
    const auto cluster = parse_cluster(text, "/c/cluster.toml");
    return cluster ? "accepted" : cluster.error().message;
}

TEST(ClusterFile, comes_back_as_it_was_written) {
    Cluster cluster = sample_cluster();
    cluster.experiments = true;
    cluster.window = 3;
    cluster.epoch = 9;
    cluster.log_quota_bytes = std::uint64_t{1} << 37;
    cluster.timers = {11, 12, 13, 14, 15, 16, false, 6.5, 17, 18, 19};
    cluster.replicas[1].advertise = "host-b.example";
    cluster.replicas[1].listen = "0.0.0.0";
    cluster.replicas[2].advertise = cluster.replicas[2].listen = "fd00::2";
    const auto read = parse_cluster(render_cluster(cluster), "/c/cluster.toml");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(render_cluster(*read), render_cluster(cluster));
    EXPECT_EQ(read->cluster_id, cluster.cluster_id);
    EXPECT_EQ(read->instance, cluster.instance);
    EXPECT_EQ(read->epoch, 9U);
    EXPECT_TRUE(read->experiments);
    EXPECT_EQ(read->window, 3U);
    EXPECT_EQ(read->log_quota_bytes, std::uint64_t{1} << 37);
    EXPECT_EQ(read->timers.heartbeat_ms, 11U);
    EXPECT_EQ(read->timers.order_latency_ms, 12U);
    EXPECT_EQ(read->timers.progress_min_ms, 13U);
    EXPECT_EQ(read->timers.progress_max_ms, 14U);
    EXPECT_EQ(read->timers.precision_ms, 15U);
    EXPECT_EQ(read->timers.message_delay_ms, 16U);
    EXPECT_FALSE(read->timers.adaptive);
    EXPECT_EQ(read->timers.phi_threshold, 6.5);
    EXPECT_EQ(read->timers.tenure_ms, 17U);
    EXPECT_EQ(read->timers.tenure_blocks, 18U);
    EXPECT_EQ(read->timers.recovery_rotation_ms, 19U);
    ASSERT_EQ(read->replicas.size(), 4U);
    EXPECT_EQ(read->replicas[1].advertise, "host-b.example");
    EXPECT_EQ(read->replicas[1].listen, "0.0.0.0");
    EXPECT_EQ(read->replicas[2].listen, "fd00::2");
    EXPECT_EQ(read->replicas[3].http_port, 7603);
    EXPECT_EQ(read->replicas[3].public_key, key_of(4));
    ASSERT_EQ(read->clients.size(), 2U);
    EXPECT_EQ(read->clients[1].name, "admin");
    EXPECT_EQ(read->clients[1].rights, right_read | right_write | right_admin);
    EXPECT_EQ(read->directory, "/c");
}

TEST(ClusterFile, a_fault_from_the_start_comes_back_and_needs_experiments) {
    Cluster cluster = sample_cluster();
    cluster.experiments = true;
    cluster.replicas[2].fault = "byzantine mute-to=0,1 clock-lie=+10s";
    const std::string text = render_cluster(cluster);
    const auto read = parse_cluster(text, "/c/cluster.toml");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->replicas[2].fault, cluster.replicas[2].fault);
    EXPECT_EQ(read->replicas[1].fault, "");
    EXPECT_EQ(read->cluster_id, cluster.cluster_id) << "a fault makes no other cluster of it";
    EXPECT_EQ(render_cluster(*read), text);
    EXPECT_THAT(error_of(replaced(text, "experiments = true", "experiments = false")),
                AllOf(HasSubstr("[[replica]] 2 fault"), HasSubstr("experiments")));
    EXPECT_THAT(error_of(replaced(text, "\"byzantine mute-to", "\"byzantine\\nmute-to")),
                HasSubstr("[[replica]] 2 fault"));
    EXPECT_THAT(error_of(replaced(text, "\"byzantine mute-to=0,1 clock-lie=+10s\"", "7")), HasSubstr("fault"));
}

TEST(ClusterFile, crash_modes_come_back) {
    for (const auto mode : {CrashMode::recovery, CrashMode::stop}) {
        Cluster cluster = sample_cluster(3);
        cluster.fault_model = consensus::FaultModel::crash;
        cluster.crash_mode = mode;
        cluster.cluster_id = compute_cluster_id(cluster);
        const auto read = parse_cluster(render_cluster(cluster), "c");
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(read->crash_mode, mode);
        EXPECT_EQ(read->fault_model, consensus::FaultModel::crash);
    }
}

TEST(ClusterFile, optional_fields_have_the_documented_defaults) {
    std::string text = sample_text();
    const auto begin = text.find("[limits]");
    text.erase(begin, text.find("# The replicas.") - begin);
    text = replaced(text, "epoch = 0\n", "");
    text = replaced(text, "listen = \"127.0.0.1\"\n", "");
    const auto read = parse_cluster(text, "c");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->window, limits::window_default);
    EXPECT_EQ(read->timers.progress_min_ms, 400U);
    EXPECT_EQ(read->timers.progress_max_ms, 20'000U);
    EXPECT_TRUE(read->timers.adaptive);
    EXPECT_EQ(read->timers.phi_threshold, 8.0);
    EXPECT_EQ(read->timers.tenure_ms, 30'000U);
    EXPECT_EQ(read->timers.tenure_blocks, 50'000U);
    EXPECT_EQ(read->timers.recovery_rotation_ms, 10'000U);
    EXPECT_EQ(read->log_quota_bytes, 0U);
    EXPECT_FALSE(read->experiments);
    EXPECT_EQ(read->replicas[0].listen, "127.0.0.1");
}

TEST(ClusterFile, replicas_may_be_listed_in_any_order) {
    Cluster cluster = sample_cluster();
    std::swap(cluster.replicas[0], cluster.replicas[3]);
    const auto read = parse_cluster(render_cluster(cluster), "c");
    ASSERT_TRUE(read) << read.error().message;
    for (std::uint16_t i = 0; i < 4; ++i) {
        EXPECT_EQ(read->replicas[i].id, i);
        EXPECT_EQ(read->replicas[i].public_key, key_of(static_cast<std::uint8_t>(i + 1)));
    }
}

// Each: what is edited, and the words that the message must contain (the place, and what to do).
struct Mistake {
    const char* name;
    std::string from;
    std::string to;
    std::vector<std::string> said;
};

void PrintTo(const Mistake& mistake, std::ostream* out) {
    *out << mistake.name;
}

class ClusterFileMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ClusterFileMistake, is_named_with_its_remedy) {
    const auto& mistake = GetParam();
    const std::string error = error_of(replaced(sample_text(), mistake.from, mistake.to));
    EXPECT_THAT(error, HasSubstr("/c/cluster.toml")) << "the file is named";
    for (const auto& words : mistake.said) {
        EXPECT_THAT(error, HasSubstr(words));
    }
}

std::string replica_fields(int id, int port_base) {
    return "id = " + std::to_string(id) + "\npublic_key = \"" + key_text(50) +
           "\"\nadvertise = \"h\"\npeer_port = " + std::to_string(port_base) +
           "\nclient_port = " + std::to_string(port_base + 1) + "\nhttp_port = " + std::to_string(port_base + 2) + "\n";
}

const Mistake mistakes[] = {
    {"unknown_field", "window = 8", "windw = 8", {"[limits] windw", "no such field", "window", "line "}},
    {"unknown_replica_field", "peer_port = 7401", "peer_prt = 7401", {"[[replica]]", "number 2", "peer_prt"}},
    {"unknown_client_field", "name = \"admin\"", "nam = \"admin\"", {"[[client]]", "number 2", "nam"}},
    {"unknown_timer", "heartbeat_ms", "heartbeat", {"[timers] heartbeat", "no such field", "heartbeat_ms"}},
    {"unknown_table", "[limits]", "[limit]", {"limit", "no such field", "limits"}},
    {"unknown_cluster_field", "epoch = 0", "epoc = 0", {"[cluster] epoc", "no such field"}},
    {"misspelt_cluster_table", "[cluster]", "[clusters]", {"clusters", "no such field", "cluster"}},
    {"missing_field", "peer_port = 7402\n", "", {"[[replica]]", "number 3", "peer_port", "missing"}},
    {"missing_rights", "rights = [\"read\", \"write\"]\n", "", {"[[client]]", "rights", "missing"}},
    {"missing_id", "id = 3\n", "", {"[[replica]]", "id", "missing"}},
    {"duplicate_id", "id = 2\n", "id = 1\n", {"[[replica]] id", "1 is used twice", "0 to 3"}},
    {"id_out_of_range", "id = 3\n", "id = 4\n", {"id", "4 is out of range", "0 to 3"}},
    {"negative_id", "id = 3\n", "id = -1\n", {"id", "-1 is out of range"}},
    {"n_too_large_for_the_list", "replicas = 4", "replicas = 5", {"[cluster] replicas", "says 5", "4 [[replica]]"}},
    {"n_too_small_for_the_list", "replicas = 4", "replicas = 3", {"[[replica]]", "out of range"}},
    {"n_below_three", "replicas = 4", "replicas = 2", {"[cluster] replicas", "2 is out of range", "3 to 31"}},
    {"n_above_the_limit", "replicas = 4", "replicas = 32", {"[cluster] replicas", "32 is out of range", "3 to 31"}},
    {"key_not_base64", key_text(2), "not a key", {"[[replica]]", "number 2", "public_key", "32 bytes in base64"}},
    {"key_too_short", key_text(2), "AAAA", {"public_key", "32 bytes in base64"}},
    {"key_no_point", key_text(2), std::string(43, 'A') + "=", {"[[replica]] 1 public_key", "not an Ed25519"}},
    {"client_key_no_point", key_text(101), std::string(43, 'A') + "=", {"[[client]] default public_key"}},
    {"duplicate_key", key_text(2), key_text(4), {"[[replica]] 3 public_key", "same key", "[[replica]] 1"}},
    {"client_has_a_replicas_key", key_text(102), key_text(1), {"[[client]] admin", "same key", "[[replica]] 0"}},
    {"port_zero", "peer_port = 7401", "peer_port = 0", {"peer_port", "0 is out of range", "1 to 65535"}},
    {"port_too_large", "peer_port = 7401", "peer_port = 65536", {"peer_port", "65536 is out of range"}},
    {"port_is_text", "peer_port = 7401", "peer_port = \"7401\"", {"peer_port", "whole number"}},
    {"port_is_fraction", "peer_port = 7401", "peer_port = 7401.0", {"peer_port", "whole number"}},
    {"port_used_twice", "http_port = 7602", "http_port = 7400", {"http_port", "7400", "127.0.0.1", "peer_port"}},
    {"port_used_twice_by_one", "http_port = 7602", "http_port = 7502", {"[[replica]] 2", "7502", "client_port"}},
    {"text_is_number", "advertise = \"127.0.0.1\"", "advertise = 5", {"advertise", "quotation marks"}},
    {"flag_is_text", "experiments = false", "experiments = \"no\"", {"[cluster] experiments", "true or false"}},
    {"bad_host", "advertise = \"127.0.0.1\"", "advertise = \"127.0.0.1 \"", {"advertise", "no host name"}},
    {"host_with_brackets", "advertise = \"127.0.0.1\"", "advertise = \"[::1]\"", {"advertise", "brackets"}},
    {"host_empty", "listen = \"127.0.0.1\"", "listen = \"\"", {"listen", "no host name"}},
    {"host_nobody_dials", "advertise = \"127.0.0.1\"", "advertise = \"0.0.0.0\"", {"advertise", "nobody can dial"}},
    {"fault_model_unknown", "\"byzantine\"", "\"bizantine\"", {"fault_model", "bizantine", "byzantine, crash"}},
    {"crash_mode_unknown", "epoch = 0", "crash_mode = \"x\"", {"crash_mode", "recovery, stop"}},
    {"crash_mode_elsewhere", "epoch = 0", "crash_mode = \"stop\"", {"crash_mode", "fault_model"}},
    {"other_hash", "blake2b-256", "sha-256", {"[cluster] hash", "sha-256", "blake2b-256"}},
    {"other_signature", "libsodium-1.0.18", "donna", {"[cluster] signature", "ed25519-libsodium-1.0.18"}},
    {"other_version", "protocol_version = 1", "protocol_version = 2", {"protocol_version", "version 1"}},
    {"window_zero", "window = 8", "window = 0", {"[limits] window", "0 is out of range", "1 to 32"}},
    {"window_too_large", "window = 8", "window = 33", {"[limits] window", "33 is out of range", "1 to 32"}},
    {"quota_too_small",
     "log_quota_bytes = 0",
     "log_quota_bytes = 5",
     {"log_quota_bytes", "5 is too small", "at least"}},
    {"quota_too_large", "log_quota_bytes = 0", "log_quota_bytes = 1099511627777", {"log_quota_bytes", "out of range"}},
    {"quota_below_two_intervals",
     "log_quota_bytes = 0",
     "log_quota_bytes = 17179869184",
     {"log_quota_bytes", "is too small", "or 0, or a checkpoint_interval of at most 2"}},
    {"interval_beyond_every_quota",
     "checkpoint_interval = 8192",
     "checkpoint_interval = 1000000",
     {"checkpoint_interval", "too large", "give at most"}},
    {"history_too_short",
     "history_revisions = 100000",
     "history_revisions = 99",
     {"history_revisions", "99 is out of range", "100 to 100000000"}},
    {"history_too_long",
     "history_revisions = 100000",
     "history_revisions = 100000001",
     {"history_revisions", "out of range", "100 to 100000000"}},
    {"timer_zero", "heartbeat_ms = 50", "heartbeat_ms = 0", {"[timers] heartbeat_ms", "out of range"}},
    {"timer_huge", "precision_ms = 250", "precision_ms = 3600001", {"[timers] precision_ms", "out of range"}},
    {"timers_out_of_order",
     "progress_min_ms = 400",
     "progress_min_ms = 20001",
     {"[timers] progress_min_ms", "progress_max_ms"}},
    {"heartbeat_too_slow", "heartbeat_ms = 50", "heartbeat_ms = 401", {"[timers] heartbeat_ms", "progress_min_ms"}},
    {"first_guess_too_slow",
     "order_latency_ms = 50",
     "order_latency_ms = 20001",
     {"[timers] order_latency_ms", "progress_max_ms"}},
    {"detector_unknown",
     "detector = \"adaptive\"",
     "detector = \"quick\"",
     {"[timers] detector", "quick", "adaptive, fixed"}},
    {"phi_too_small",
     "phi_threshold = 8",
     "phi_threshold = 0.5",
     {"[timers] phi_threshold", "0.5 is out of range", "1 to 50"}},
    {"phi_is_text", "phi_threshold = 8", "phi_threshold = \"8\"", {"[timers] phi_threshold", "expected a number"}},
    {"phi_is_no_number", "phi_threshold = 8", "phi_threshold = nan", {"[timers] phi_threshold", "out of range"}},
    {"tenure_too_short", "tenure_ms = 30000", "tenure_ms = 399", {"[timers] tenure_ms", "progress_min_ms", "or 0"}},
    {"tenure_negative", "tenure_blocks = 50000", "tenure_blocks = -1", {"[timers] tenure_blocks", "out of range"}},
    {"client_twice", "\"admin\"", "\"default\"", {"[[client]] name", "default is used twice"}},
    {"client_name_is_path", "\"admin\"", "\"../admin\"", {"[[client]] name", "../admin"}},
    {"right_unknown", "[\"read\", \"write\"]", "[\"read\", \"rite\"]", {"rights", "\"read\", \"write\" or \"admin\""}},
    {"right_as_letter", "[\"read\", \"write\"]", "[\"r\"]", {"rights", "\"read\", \"write\" or \"admin\""}},
    {"rights_as_text", "[\"read\", \"write\"]", "\"read\"", {"rights", "list"}},
    {"rights_empty", "[\"read\", \"write\"]", "[]", {"[[client]] default rights"}},
    {"rights_as_numbers", "[\"read\", \"write\"]", "[1]", {"rights"}},
    {"one_replica_table", "[[replica]]", "[replica]", {"not TOML"}},
    {"syntax", "window = 8", "window = = 8", {"line ", "column ", "not TOML"}},
    {"field_twice", "window = 8", "window = 8\nwindow = 9", {"line ", "not TOML"}},
    {"surplus_replica",
     "# The replicas.",
     "[[replica]]\n" + replica_fields(0, 9000) + "#",
     {"[cluster] replicas", "5 [["}},
    {"replica_is_number", "[limits]", "replica = 5\n[limits]", {"[cluster] replica", "no such field"}},
    {"instance_not_hex", "instance = \"00", "instance = \"0x", {"[cluster] instance", "32 hexadecimal"}},
    {"instance_too_short", "instance = \"00", "instance = \"0", {"[cluster] instance", "32 hexadecimal"}},
    // What the id covers
    {"edited_key", key_text(2), key_text(60), {"[cluster] id", "cannot be edited"}},
    {"edited_client_key", key_text(101), key_text(60), {"[cluster] id", "cannot be edited"}},
    {"edited_right", "[\"read\", \"write\"]", "[\"read\", \"write\", \"admin\"]", {"[cluster] id"}},
    {"edited_model", "\"byzantine\"", "\"crash\"", {"[cluster] id", "cannot be edited"}},
    {"edited_instance", "00112233", "00112234", {"[cluster] id", "cannot be edited"}},
    {"edited_id", "id = \"", "id = \"0", {"[cluster] id"}},
    {"edited_client_name", "\"admin\"", "\"root\"", {"[cluster] id"}},
};

INSTANTIATE_TEST_SUITE_P(Each, ClusterFileMistake, testing::ValuesIn(mistakes),
                         [](const auto& mistake) { return mistake.param.name; });

TEST(ClusterFile, one_port_may_serve_on_different_hosts) {
    Cluster cluster = sample_cluster();
    for (auto& replica : cluster.replicas) {
        replica.advertise = "host" + std::to_string(replica.id);
        replica.listen = "0.0.0.0";
        replica.peer_port = 7400;
        replica.client_port = 7500;
        replica.http_port = 7600;
    }
    EXPECT_TRUE(parse_cluster(render_cluster(cluster), "c"));
    cluster.replicas[1].advertise = "HOST0";
    EXPECT_THAT(error_of(render_cluster(cluster)), HasSubstr("7400"));
}

TEST(ClusterFile, garbage_is_refused_and_named) {
    EXPECT_THAT(error_of(""), HasSubstr("[cluster]"));
    EXPECT_THAT(error_of("\xFF\xFE binary"), HasSubstr("not TOML"));
    EXPECT_THAT(error_of(std::string(2U << 20, '#')), HasSubstr("larger than"));
    EXPECT_THAT(error_of("cluster = 1"), HasSubstr("expected a table"));
    EXPECT_THAT(error_of(replaced(sample_text(), "[limits]", "[limits.x]\n[timers.y]\n[limits]")),
                HasSubstr("[limits] x"));
    EXPECT_THAT(error_of(std::string(5000, '[')), HasSubstr("not TOML"));
    EXPECT_THAT(error_of("a = " + std::string(5000, '[')), HasSubstr("not TOML"));
}

TEST(ClusterFile, too_many_clients_are_refused) {
    std::string text = sample_text();
    for (std::size_t i = 0; i <= limits::clients_max; ++i) {
        text += "\n[[client]]\nname = \"c" + std::to_string(i) + "\"\n";
    }
    EXPECT_THAT(error_of(text), HasSubstr("too many"));
}

TEST(LoadCluster, takes_the_file_or_its_folder) {
    const TemporaryFolder folder;
    write_text(folder / "cluster.toml", sample_text());
    for (const auto& path : {folder.path(), folder / "cluster.toml", folder.path() / ""}) {
        const auto cluster = load_cluster(path);
        ASSERT_TRUE(cluster) << cluster.error().message;
        EXPECT_EQ(cluster->directory, folder.path());
        EXPECT_EQ(cluster->replica_key_path(2), folder / "keys" / "replica-2.key");
        EXPECT_EQ(cluster->client_key_path("admin"), folder / "keys" / "client-admin.key");
        EXPECT_EQ(cluster->data_path(2), folder / "data" / "replica-2");
        EXPECT_EQ(cluster->pid_path(2), folder / "run" / "replica-2.pid");
        EXPECT_EQ(cluster->log_path(2), folder / "run" / "replica-2.log");
    }
}

TEST(LoadCluster, says_how_to_get_a_cluster_when_there_is_none) {
    const TemporaryFolder folder;
    const auto cluster = load_cluster(folder.path());
    ASSERT_FALSE(cluster);
    EXPECT_EQ(cluster.error().code, Errc::not_found);
    EXPECT_THAT(cluster.error().message, HasSubstr("loyal cluster init"));
    EXPECT_THAT(cluster.error().message, HasSubstr(folder.path().string()));
}

TEST(Membership, is_what_the_file_says) {
    Cluster cluster = sample_cluster(7);
    cluster.window = 5;
    cluster.epoch = 2;
    const auto membership = cluster.membership();
    EXPECT_EQ(membership.context.cluster_id, cluster.cluster_id);
    EXPECT_EQ(membership.context.epoch, consensus::Epoch(2));
    EXPECT_EQ(membership.window, 5U);
    EXPECT_EQ(membership.quorum().q, 5U);
    ASSERT_EQ(membership.replicas.size(), 7U);
    EXPECT_EQ(membership.replicas[6], key_of(7));
    ASSERT_EQ(membership.clients.size(), 2U);
    EXPECT_EQ(membership.clients.at(client_id_of(key_of(101))), key_of(101));
    // First 16 bytes of H("client", key).
    const auto digest = crypto::digest_of("client", key_of(101).bytes);
    EXPECT_TRUE(std::equal(digest.bytes.begin(), digest.bytes.begin() + 16, client_id_of(key_of(101)).bytes.begin()));
}

TEST(Rights, are_words_or_letters) {
    EXPECT_EQ(parse_rights("read"), right_read);
    EXPECT_EQ(parse_rights("read,write"), right_read | right_write);
    EXPECT_EQ(parse_rights("admin,read"), right_read | right_admin);
    EXPECT_EQ(parse_rights("rw"), right_read | right_write);
    EXPECT_EQ(parse_rights("a"), right_admin);
    for (const auto* text : {"", "x", "rr", "rx", "read,", ",", "read;write", "READ", "read, write", "reads"}) {
        const auto rights = parse_rights(text);
        ASSERT_FALSE(rights) << text;
        EXPECT_THAT(rights.error().message, HasSubstr("read, write and admin"));
    }
}

// Any single edit of a byte gives a cluster or a named error, and never another identity under the same id.
RC_GTEST_PROP(ClusterFile, an_edited_byte_never_changes_what_the_id_covers, ()) {
    static const std::string good = sample_text();
    std::string text = good;
    const auto place = *rc::gen::inRange<std::size_t>(0, text.size());
    text[place] = static_cast<char>(*rc::gen::inRange(1, 127));
    const auto cluster = parse_cluster(text, "c");
    if (cluster) {
        RC_ASSERT(cluster->cluster_id == sample_cluster().cluster_id);
        RC_ASSERT(cluster->fault_model == consensus::FaultModel::byzantine);
        RC_ASSERT(cluster->replicas.size() == std::size_t{4});
    } else {
        RC_ASSERT(!cluster.error().message.empty());
    }
}

}  // namespace
}  // namespace loyal::config
