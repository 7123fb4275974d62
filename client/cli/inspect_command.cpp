// inspect: offline check of a stopped replica's data folder. Each environment is walked in a child process of its own,
// which may die of what it finds (kvstore/store_check.h); nothing is changed.
#include <filesystem>
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "crypto/seal.h"
#include "kvstore/checkpoints.h"
#include "kvstore/data_lock.h"
#include "kvstore/log_inspection.h"
#include "kvstore/state_digest.h"
#include "kvstore/state_machine.h"
#include "kvstore/store_check.h"

namespace loyal::cli {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::size_t damage_shown_max = 200;  // of the state
constexpr std::size_t scrubbed_at_once = 4096;

// ---- What a child says: one JSON document a line, "progress", or the whole finding

void say_structure(const kvstore::StoreCheck& check, Json& found) {
    const auto wrong = kvstore::check_store_here(check);
    if (!wrong) {
        found["damage"].push_back(wrong.error().message);
    } else if (*wrong) {
        found["damage"].push_back(**wrong);
    }
}

Json json_of_block(const consensus::BlockRef& block) {
    return Json{{"height", block.height.value}, {"id", block.id.hex()}};
}

Json json_of_voting(const consensus::VotingState& voting) {
    return Json{{"promised", voting.promised.value},
                {"entered", voting.entered.value},
                {"leading", voting.leading},
                {"prepared", {{"view", voting.prep.view.value}, {"block", json_of_block(voting.prep.block)}}},
                {"lock", {{"view", voting.lock.view.value}, {"block", json_of_block(voting.lock.block)}}},
                {"amnesiac", voting.amnesiac}};
}

Json json_of_log(const kvstore::LogInspection& log) {
    const auto of = [&](kvstore::RecordKind kind) { return log.of_kind.at(static_cast<std::size_t>(kind)); };
    Json found{{"records", log.records},
               {"blocks", of(kvstore::RecordKind::block)},
               {"commits", of(kvstore::RecordKind::commit)},
               {"locks", of(kvstore::RecordKind::lock)},
               {"new_views", of(kvstore::RecordKind::new_view)},
               {"view_changes", of(kvstore::RecordKind::view_change)},
               {"installed_states", of(kvstore::RecordKind::installed)},
               {"evidence", log.evidence},
               {"first_height", log.first_height.value},
               {"committed", log.committed.value},
               {"checkpoint", log.checkpoint.value},
               {"fresh", log.fresh},
               {"voting", json_of_voting(log.voting)},
               {"votes_lost", log.votes_lost},
               {"damage", log.damage}};
    if (!log.votes_lost.empty()) {
        found["damage"].push_back("the voting state cannot be trusted: " + log.votes_lost);
    }
    return found;
}

Json look_at_log(const fs::path& folder, const config::Cluster& cluster) {
    Json found{{"damage", Json::array()}};
    const auto tables = kvstore::ConsensusLog::log_tables();
    say_structure({folder, tables, {}}, found);
    auto store = kvstore::open_read_only(folder, tables);
    if (!store) {
        return found;
    }
    const auto log = kvstore::inspect_log(**store, cluster.membership().context, cluster.checkpoint_interval);
    if (!log) {
        found["damage"].push_back(log.error().message);
        return found;
    }
    Json all = json_of_log(*log);
    for (const Json& line : found["damage"]) {
        all["damage"].push_back(line);
    }
    return all;
}

void add_damage(Json& found, std::string line) {
    if (found["damage"].size() < damage_shown_max) {
        found["damage"].push_back(std::move(line));
    }
}

// Every record of every table of the state is sealed over its table, key and content.
void verify_seals(kvstore::Store& store, const std::vector<std::string>& tables, Json& found) {
    std::uint64_t records = 0;
    const auto txn = store.begin_read();
    for (std::size_t i = 0; txn && i < tables.size(); ++i) {
        auto entry = (*txn)->seek(i, {});
        for (; entry && *entry; entry = (*txn)->seek(i, (*entry)->key, true), ++records) {
            if (!crypto::unseal(tables[i], (*entry)->key, (*entry)->value)) {
                add_damage(found, fmt::format("table {}: the record of key \"{}\" is damaged", tables[i],
                                              printable((*entry)->key, TextForm::plain)));
            }
        }
        if (!entry) {
            add_damage(found, fmt::format("table {}: {}", tables[i], entry.error().message));
        }
    }
    found["records"] = records;
}

// Links between neighbours and leaves, which a seal says nothing of.
void scrub(kvstore::Store& store, const config::Cluster& cluster, Json& found) {
    auto checkpoints =
        kvstore::Checkpoints::open(store, {kvstore::salt_of(cluster.salt_id()), cluster.checkpoint_interval});
    if (!checkpoints) {
        return add_damage(found, checkpoints.error().message);
    }
    found["checkpoints"] = Json::array();
    for (const kvstore::StateRoot& root : (*checkpoints)->roots()) {
        found["checkpoints"].push_back({{"height", root.height.value}, {"root", root.root.hex()}});
    }
    for (bool wrapped = false; !wrapped && found["damage"].size() < damage_shown_max;) {
        const auto step = (*checkpoints)->scrub(scrubbed_at_once);
        if (!step) {
            return add_damage(found, step.error().message);
        }
        wrapped = step->wrapped;
        if (step->damage) {
            add_damage(found, *step->damage);
        }
    }
}

Json look_at_state(const fs::path& folder, const config::Cluster& cluster) {
    Json found{{"folder", folder.filename().string()}, {"damage", Json::array()}};
    const auto tables = kvstore::StateMachine::state_tables();
    say_structure({folder, tables, {}}, found);
    auto store = kvstore::open_read_only(folder, tables);
    if (store) {
        verify_seals(**store, tables, found);
        scrub(**store, cluster, found);
    }
    return found;
}

// The finding of `look`, made by a child; what the child died of, if it did.
Answer<Json> ask_child(const std::function<Json()>& look) {
    std::string said;
    const auto end = kvstore::run_in_child([&](const kvstore::Say& say) { say(look().dump()); },
                                           [&](std::string_view line) { said = line; });
    if (!end) {
        return tl::unexpected<Failure>(failure_of(end.error()));
    }
    Json found = Json::parse(said, nullptr, false);
    if (found.is_discarded() || !found.is_object()) {
        found = Json{{"damage", {"the process that looked at it " + end->how}}};
    }
    return found;
}

// ---- The folder

Answer<config::Cluster> cluster_of(const Globals& globals, const fs::path& data) {
    auto named = load_cluster_of(globals.cluster);
    for (fs::path above = fs::absolute(data).parent_path(); !named && above.has_relative_path();
         above = above.parent_path()) {
        if (auto near = config::load_cluster(above)) {
            return std::move(*near);
        }
    }
    return named;
}

Answer<std::uint16_t> replica_of(const config::Cluster& cluster, const fs::path& data) {
    std::error_code error;
    if (!fs::exists(data / "birth", error)) {
        return refuse_input(fmt::format("{} is not a replica's data folder: it has no birth record", data.string()));
    }
    for (const config::ReplicaEntry& replica : cluster.replicas) {
        const Result<void> born = config::check_birth(data, {cluster.cluster_id, replica.id});
        if (born) {
            return replica.id;
        }
        if (born.error().code != Errc::conflict) {
            return refuse(Exit::integrity, "damaged", born.error().message);
        }
    }
    return refuse_input(fmt::format("{} belongs to another cluster than {}; name its cluster with --cluster",
                                    data.string(), cluster.directory.string()));
}

// DATA/state names the generation that is in force.
std::optional<fs::path> state_in_force(const fs::path& data) {
    std::ifstream file(data / "state");
    std::uint64_t generation = 0;
    if (!(file >> generation)) {
        return std::nullopt;
    }
    return data / fmt::format("state.{}", generation);
}

Json missing(const std::string& what) {
    return Json{{"damage", {what}}};
}

Answer<Json> inspect_folder(const config::Cluster& cluster, const fs::path& data) {
    std::error_code error;
    const bool opened = fs::exists(data / "opened", error);
    const auto state = state_in_force(data);
    const bool has_log = fs::exists(data / "log" / "data.mdb", error);
    const bool has_state = state && fs::exists(*state / "data.mdb", error);
    Json document{{"log", Json{{"damage", Json::array()}}}, {"state", Json{{"damage", Json::array()}}}};
    if (has_log) {
        auto found = ask_child([&] { return look_at_log(data / "log", cluster); });
        if (!found) {
            return found;
        }
        document["log"] = std::move(*found);
    } else if (opened) {
        document["log"] = missing("the consensus log is gone although this replica has run");
    }
    if (has_state) {
        auto found = ask_child([&] { return look_at_state(*state, cluster); });
        if (!found) {
            return found;
        }
        document["state"] = std::move(*found);
    } else if (opened) {
        document["state"] = missing(state ? "the state in force is gone although this replica has run"
                                          : "nothing says which state is in force although this replica has run");
    }
    return document;
}

// ---- The report

std::vector<std::string> damage_in(const Json& document) {
    std::vector<std::string> lines;
    for (const char* part : {"log", "state"}) {
        for (const Json& line : document[part]["damage"]) {
            lines.push_back(fmt::format("{}: {}", part, line.get<std::string>()));
        }
    }
    return lines;
}

std::string text_of_document(const Json& document) {
    std::vector<std::vector<std::string>> rows = {{"PART", "WHAT", "VALUE"}};
    for (const char* part : {"log", "state"}) {
        for (const auto& [name, value] : document[part].items()) {
            if (name == "voting") {
                for (const char* field : {"promised", "entered", "amnesiac"}) {
                    rows.push_back({part, field, value[field].dump()});
                }
                rows.push_back({part, "prepared", value["prepared"]["block"]["height"].dump()});
                rows.push_back({part, "locked", value["lock"]["block"]["height"].dump()});
            } else if (name == "checkpoints") {
                for (const Json& root : value) {
                    rows.push_back({part, "root of " + root["height"].dump(), root["root"].get<std::string>()});
                }
            } else if (name != "damage" && name != "votes_lost") {
                rows.push_back({part, name, value.is_string() ? value.get<std::string>() : value.dump()});
            }
        }
    }
    return table(rows);
}

Answer<Exit> inspect(const Globals& globals, const fs::path& data) {
    std::error_code error;
    if (!fs::is_directory(data, error)) {
        return refuse_input(fmt::format("{} is no folder", data.string()));
    }
    if (!fs::exists(data / "birth", error)) {
        return refuse_input(fmt::format("{} is not a replica's data folder: it has no birth record", data.string()));
    }
    const Answer<config::Cluster> cluster = cluster_of(globals, data);
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const Answer<std::uint16_t> replica = replica_of(*cluster, data);
    if (!replica) {
        return tl::unexpected<Failure>(replica.error());
    }
    const auto lock = kvstore::DataLock::acquire(data);
    if (!lock) {
        return lock.error().code == Errc::conflict
                   ? refuse(Exit::usage, "in_use", lock.error().message + "; stop the replica before looking at it")
                   : tl::unexpected<Failure>(failure_of(lock.error()));
    }
    Answer<Json> document = inspect_folder(*cluster, data);
    if (!document) {
        return tl::unexpected<Failure>(document.error());
    }
    const std::vector<std::string> damage = damage_in(*document);
    Json report{{"data", data.string()}, {"replica", *replica}, {"clean", damage.empty()}};
    report.update(*document);
    if (globals.format == OutputFormat::json) {
        print_json(report);
    } else {
        if (globals.format == OutputFormat::table) {
            print(text_of_document(*document));
        } else if (!(*document)["log"].value("fresh", true)) {
            print(fmt::format("replica {}: committed {}, checkpoint {}, {} log records, {} state records\n", *replica,
                              (*document)["log"]["committed"].dump(), (*document)["log"]["checkpoint"].dump(),
                              (*document)["log"]["records"].dump(), (*document)["state"].value("records", 0U)));
        }
        for (const std::string& line : damage) {
            print("damage: " + line + "\n");
        }
        print(damage.empty() ? "clean\n" : fmt::format("{} damaged\n", damage.size()));
    }
    return damage.empty() ? Exit::done : Exit::integrity;
}

}  // namespace

void add_inspect_command(CLI::App& app, CommandContext& context) {
    auto data = std::make_shared<std::string>();
    CLI::App* command =
        add_command(app, "inspect",
                    "Checks the data folder of a stopped replica, changing nothing: exit 0 clean, 6 damaged, 2 no "
                    "data folder or in use",
                    "loyal inspect loyal-cluster/data/replica-0\n  loyal inspect /var/lib/loyal/data --cluster "
                    "/etc/loyal -w json");
    command->add_option("data", *data, "The data folder")->required();
    when_chosen(command, context, [&context, data] { return inspect(context.globals, *data); });
}

}  // namespace loyal::cli
