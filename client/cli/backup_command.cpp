// backup, backup verify.
#include <array>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/backup/take.h"
#include "client/backup/verify.h"
#include "client/cli/command.h"
#include "client/cli/progress.h"
#include "config/files.h"

namespace loyal::cli {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Of one question.
constexpr std::uint64_t backup_timeout_ms = 5'000;

struct BackupArguments {
    std::string file;
    bool force = false;
};

// The library's client, as the backup sees it. The client outlives the callbacks: closing it answers them all.
class ClientSource final : public backup::Source {
 public:
    explicit ClientSource(client::Client& client) : client_(client) {}
    void checkpoint(consensus::ReplicaId replica, OnCheckpoint done) override {
        client_.checkpoint(replica, std::move(done));
    }
    void part(consensus::ReplicaId replica, consensus::StateRequest request, OnPart done) override {
        client_.state_part(replica, std::move(request), std::move(done));
    }

 private:
    client::Client& client_;
};

std::string size_text(std::uint64_t bytes) {
    constexpr std::array<const char*, 4> units = {"bytes", "KiB", "MiB", "GiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) {
        value /= 1024;
    }
    return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

// The whole file as it stands, comments and all.
Answer<std::string> cluster_text_of(const config::Cluster& cluster) {
    Bytes buffer(std::size_t{1} << 20);
    const Result<std::size_t> size = read_file(cluster.directory / "cluster.toml", buffer, Secrecy::open_to_all);
    if (!size) {
        return config::render_cluster(cluster);  // named otherwise; it says the same
    }
    return string_of(ByteView(buffer).first(*size));
}

// No checkpoint yet is not "not found": nothing was done, and it can be tried again.
Failure backup_failure(const Error& error) {
    if (error.code == Errc::not_found) {
        return {Exit::not_applied, "no_checkpoint", error.message};
    }
    return failure_of(error);
}

std::string taking_text(const backup::TakeProgress& progress) {
    return fmt::format("checkpoint {}  {}  {} records  {}", progress.height.value, ProgressLine::bar(progress.fraction),
                       progress.records, size_text(progress.bytes));
}

Answer<Exit> take_into_file(const Globals& globals, const BackupArguments& arguments) {
    if (arguments.file.empty()) {
        return refuse_input("backup: name the file, such as: loyal backup today.lkv");
    }
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "admin", .timeout_ms = backup_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const Answer<std::string> text = cluster_text_of(connection->cluster);
    if (!text) {
        return tl::unexpected<Failure>(text.error());
    }
    ProgressLine progress;
    ClientSource source(*connection->client);
    backup::TakeOptions options;
    options.cluster = connection->cluster;
    options.cluster_text = *text;
    options.path = arguments.file;
    options.force = arguments.force;
    options.on_note = [&progress](const std::string& note) {
        progress.clear();
        print_error("note: " + note + "\n");
    };
    options.on_progress = [&progress](const backup::TakeProgress& now) {
        if (progress.due()) {
            progress.show(taking_text(now));
        }
    };
    const Result<backup::TakeReport> report = backup::take_backup(options, source);
    connection->client->close();
    progress.clear();
    if (!report) {
        return tl::unexpected<Failure>(backup_failure(report.error()));
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"file", arguments.file},
                        {"cluster_id", connection->cluster.cluster_id.hex()},
                        {"height", report->root.height.value},
                        {"state_root", report->root.root.hex()},
                        {"records", report->records},
                        {"bytes", report->file_bytes},
                        {"notes", report->notes}});
        return Exit::done;
    }
    print(fmt::format("{}: the state after block {}, {} records, {}\n", arguments.file, report->root.height.value,
                      report->records, size_text(report->file_bytes)));
    return Exit::done;
}

Json document_of(const backup::BackupFacts& facts) {
    return Json{{"verified", true},
                {"proved_by_signatures", facts.proved_by_signatures()},
                {"cluster_id", facts.cluster.cluster_id.hex()},
                {"fault_model", facts.proved_by_signatures() ? "byzantine" : "crash"},
                {"n", facts.cluster.replicas.size()},
                {"height", facts.meta.height.value},
                {"state_root", facts.proof.root().root.hex()},
                {"revision", facts.meta.revision.value},
                {"keys", facts.keys},
                {"value_bytes", facts.value_bytes},
                {"timestamp", json_of(facts.meta.hlc)},
                {"bytes", facts.file_bytes}};
}

void print_facts(const std::string& file, const backup::BackupFacts& facts) {
    print(fmt::format("{}: whole, {}\n", file, size_text(facts.file_bytes)));
    print(fmt::format("  cluster    {}\n", facts.cluster.cluster_id.hex()));
    print(fmt::format("  height     {}\n", facts.meta.height.value));
    print(fmt::format("  revision   {}\n", facts.meta.revision.value));
    print(fmt::format("  keys       {}, values {}\n", facts.keys, size_text(facts.value_bytes)));
    print(fmt::format("  time       {}\n", rfc3339(facts.meta.hlc.wall_ms())));
    print(fmt::format("  root       {}\n", facts.proof.root().root.hex()));
    if (facts.proved_by_signatures()) {
        print(fmt::format("  proved by the signatures of {} of its {} replicas\n", facts.proof.commit->votes.size(),
                          facts.cluster.replicas.size()));
    } else {
        print(
            "  not proved by signatures: in the crash fault model nobody signs; the file agrees with itself, and that "
            "is all\n");
    }
}

Answer<Exit> verify_file(const Globals& globals, const BackupArguments& arguments, bool cluster_given) {
    std::optional<config::Cluster> expected;
    if (cluster_given) {
        Answer<config::Cluster> cluster = load_cluster_of(globals.cluster);
        if (!cluster) {
            return tl::unexpected<Failure>(cluster.error());
        }
        expected = std::move(*cluster);
    }
    ProgressLine progress;
    const Result<backup::BackupFacts> facts = backup::verify_backup(arguments.file, {}, [&progress](double fraction) {
        if (progress.due()) {
            progress.show(ProgressLine::bar(fraction));
        }
    });
    progress.clear();
    if (!facts) {
        return tl::unexpected<Failure>(input_failure_of(facts.error()));
    }
    if (expected && expected->cluster_id != facts->cluster.cluster_id) {
        return refuse(Exit::integrity, "another_cluster",
                      fmt::format("{} is a backup of cluster {}, not of {}, which --cluster names", arguments.file,
                                  facts->cluster.cluster_id.hex(), expected->cluster_id.hex()));
    }
    if (globals.format == OutputFormat::json) {
        print_json(document_of(*facts));
    } else {
        print_facts(arguments.file, *facts);
    }
    return Exit::done;
}

}  // namespace

void add_backup_command(CLI::App& app, CommandContext& context) {
    auto arguments = std::make_shared<BackupArguments>();
    CLI::App* command = add_command(
        app, "backup", "Copy the whole state of the running cluster, with its certificate, into a new file",
        "loyal backup monday.lkv\n  loyal backup verify monday.lkv\n  loyal restore monday.lkv --replicas 4 ./new");
    command->add_option("file", arguments->file, "The file; it must not exist, unless with --force");
    command->add_flag("--force", arguments->force, "Replace the file when it exists");
    when_chosen(command, context, [&context, arguments] { return take_into_file(context.globals, *arguments); });

    auto verify_arguments = std::make_shared<BackupArguments>();
    CLI::App* verify_command = add_command(
        *command, "verify",
        "Checks a backup offline and says which cluster and height it holds: exit 0 whole, 6 not what it says",
        "loyal backup verify monday.lkv\n  loyal backup verify monday.lkv --cluster ./loyal-cluster");
    verify_command->add_option("file", verify_arguments->file, "A file that `loyal backup` wrote")->required();
    const CLI::Option* cluster = app.get_option("--cluster");
    when_chosen(verify_command, context, [&context, verify_arguments, cluster] {
        return verify_file(context.globals, *verify_arguments, cluster->count() > 0);
    });
}

}  // namespace loyal::cli
