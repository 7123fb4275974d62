// lease grant|revoke|keep-alive|ttl|list.
#include <chrono>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/interrupt.h"
#include "client/cli/item_text.h"
#include "client/cli/model_arguments.h"

namespace loyal::cli {

namespace {

using LeaseJson = nlohmann::ordered_json;

std::string seconds_text(std::uint64_t ms) {
    return ms % 1'000 == 0 ? fmt::format("{}s", ms / 1'000) : fmt::format("{:.3f}s", static_cast<double>(ms) / 1e3);
}

Answer<kvstore::LeaseId> lease_argument(const std::string& text) {
    return number_argument(text, "a lease").map([](std::uint64_t id) { return kvstore::LeaseId(id); });
}

// Connects, writes, judges.
Answer<client::WriteResult> write_once(const Globals& globals, kvstore::Operation operation) {
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    client::WriteResult result = connection->client->write_sync(std::move(operation));
    if (const Answer<void> answer = judge(result); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    return result;
}

Answer<Exit> grant(const Globals& globals, const std::string& text) {
    const Answer<std::uint64_t> ttl_ms = ttl_argument(text);
    if (!ttl_ms) {
        return tl::unexpected<Failure>(ttl_ms.error());
    }
    const Answer<client::WriteResult> result = write_once(globals, kvstore::LeaseGrant{*ttl_ms});
    if (!result) {
        return tl::unexpected<Failure>(result.error());
    }
    const std::uint64_t id = kvstore::decode_count(result->outcome.result).value_or(0);
    if (globals.format == OutputFormat::json) {
        LeaseJson document = {{"lease", id}, {"ttl_ms", *ttl_ms}};
        document.update(write_json(*result));
        print_json(document);
    } else {
        print(fmt::format("lease {} granted with TTL({})\n", id, seconds_text(*ttl_ms)));
    }
    return Exit::done;
}

Answer<Exit> revoke(const Globals& globals, const std::string& text) {
    const Answer<kvstore::LeaseId> lease = lease_argument(text);
    if (!lease) {
        return tl::unexpected<Failure>(lease.error());
    }
    const Answer<client::WriteResult> result = write_once(globals, kvstore::LeaseRevoke{*lease});
    if (!result) {
        return tl::unexpected<Failure>(result.error());
    }
    if (globals.format == OutputFormat::json) {
        LeaseJson document = {{"lease", lease->value},
                              {"deleted", kvstore::decode_count(result->outcome.result).value_or(0)}};
        document.update(write_json(*result));
        print_json(document);
    } else {
        print(fmt::format("lease {} revoked\n", lease->value));
    }
    return Exit::done;
}

// False when the program was asked to end.
bool sleep_until_interrupted(std::chrono::milliseconds time, const std::atomic<bool>& interrupted) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!interrupted && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(
            std::min<std::chrono::nanoseconds>(std::chrono::milliseconds(50), end - std::chrono::steady_clock::now()));
    }
    return !interrupted;
}

// As long as an answer may still save it, a renewal that got none is tried again.
Answer<Exit> keep_alive(const Globals& globals, const std::string& text, bool once) {
    const Answer<kvstore::LeaseId> lease = lease_argument(text);
    if (!lease) {
        return tl::unexpected<Failure>(lease.error());
    }
    Answer<Connection> connection = connect(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const std::atomic<bool>& interrupted = catch_interrupt(SecondInterrupt::ends_program);
    using SteadyClock = std::chrono::steady_clock;
    std::optional<SteadyClock::time_point> good_until;
    while (true) {
        const auto sent = SteadyClock::now();
        const client::WriteResult result = connection->client->write_sync(kvstore::LeaseKeepAlive{*lease});
        const Answer<void> answer = judge(result);
        const bool may_be_saved =
            good_until && SteadyClock::now() < *good_until && !answer && answer.error().exit != Exit::negative;
        if (!answer && !may_be_saved) {
            return tl::unexpected<Failure>(answer.error());
        }
        std::chrono::milliseconds wait(500);
        if (answer) {
            const std::uint64_t left_ms = kvstore::decode_count(result.outcome.result).value_or(0);
            good_until = sent + std::chrono::milliseconds(left_ms);
            wait = std::chrono::milliseconds(left_ms / 3);
            if (globals.format == OutputFormat::json) {
                print_json(LeaseJson{{"lease", lease->value}, {"left_ms", left_ms}});
            } else {
                print(fmt::format("lease {} keepalived with TTL({})\n", lease->value, seconds_text(left_ms)));
            }
            if (const Answer<void> written = finish_output(); !written) {
                return tl::unexpected<Failure>(written.error());
            }
        }
        if (once || !sleep_until_interrupted(wait, interrupted)) {
            return Exit::done;
        }
    }
}

Answer<kvstore::LeaseReport> read_report(client::Client& client, const kvstore::LeaseQuery& query) {
    const client::ReadResult read = client.read_sync(query);
    if (const Answer<void> answer = judge(read); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    Result<kvstore::LeaseReport> report = kvstore::decode_lease_report(read.result);
    if (!report) {
        return tl::unexpected<Failure>(failure_of(report.error()));
    }
    return std::move(*report);
}

LeaseJson state_json(const kvstore::LeaseState& lease) {
    return LeaseJson{{"lease", lease.id.value},
                     {"ttl_ms", lease.ttl_ms},
                     {"left_ms", lease.left_ms},
                     {"keys", lease.keys},
                     {"owner", to_hex(lease.owner.bytes)}};
}

void print_ttl(const kvstore::LeaseReport& report, bool with_keys, OutputFormat format) {
    const kvstore::LeaseState& lease = report.leases.front();
    if (format == OutputFormat::json) {
        LeaseJson document = state_json(lease);
        if (with_keys) {
            document["attached"] = LeaseJson::array();
            for (const Bytes& key : report.keys) {
                document["attached"].push_back(json_of(key));
            }
            document["more"] = report.more;
        }
        print_json(document);
        return;
    }
    std::string line = fmt::format("lease {} granted with TTL({}), remaining({})", lease.id.value,
                                   seconds_text(lease.ttl_ms), seconds_text(lease.left_ms));
    if (with_keys) {
        std::string keys;
        for (const Bytes& key : report.keys) {
            keys += (keys.empty() ? "" : " ") + printable(key, TextForm::plain);
        }
        line += fmt::format(", attached keys([{}{}])", keys, report.more ? " ..." : "");
    }
    print(line + "\n");
}

Answer<Exit> time_to_live(const Globals& globals, const std::string& text, bool with_keys) {
    const Answer<kvstore::LeaseId> lease = lease_argument(text);
    if (!lease) {
        return tl::unexpected<Failure>(lease.error());
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    kvstore::LeaseQuery query;
    query.lease = *lease;
    query.limit = with_keys ? 0 : 1;
    const Answer<kvstore::LeaseReport> report = read_report(*connection->client, query);
    if (!report) {
        return tl::unexpected<Failure>(report.error());
    }
    if (report->leases.empty()) {
        return refuse(Exit::integrity, "no_agreement", "a quorum of replicas agrees on an answer that is malformed");
    }
    print_ttl(*report, with_keys, globals.format);
    return Exit::done;
}

Answer<Exit> list(const Globals& globals) {
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    std::vector<kvstore::LeaseState> leases;
    kvstore::LeaseQuery query;
    for (bool more = true; more;) {
        const Answer<kvstore::LeaseReport> report = read_report(*connection->client, query);
        if (!report) {
            return tl::unexpected<Failure>(report.error());
        }
        leases.insert(leases.end(), report->leases.begin(), report->leases.end());
        more = report->more && !report->leases.empty();
        if (more) {
            query.after = report->leases.back().id;
        }
    }
    switch (globals.format) {
        case OutputFormat::json: {
            LeaseJson all = LeaseJson::array();
            for (const kvstore::LeaseState& lease : leases) {
                all.push_back(state_json(lease));
            }
            print_json(LeaseJson{{"leases", all}});
            break;
        }
        case OutputFormat::table: {
            std::vector<std::vector<std::string>> rows = {{"LEASE", "TTL_MS", "LEFT_MS", "KEYS", "OWNER"}};
            for (const kvstore::LeaseState& lease : leases) {
                rows.push_back({std::to_string(lease.id.value), std::to_string(lease.ttl_ms),
                                std::to_string(lease.left_ms), std::to_string(lease.keys), to_hex(lease.owner.bytes)});
            }
            print(table(rows));
            break;
        }
        case OutputFormat::simple:
            print(fmt::format("found {} leases\n", leases.size()));
            for (const kvstore::LeaseState& lease : leases) {
                print(fmt::format("{}\n", lease.id.value));
            }
            break;
    }
    return Exit::done;
}

}  // namespace

void add_lease_commands(CLI::App& app, CommandContext& context) {
    CLI::App* group =
        add_command(app, "lease", "Leases: keys and locks that end with a time to live",
                    "loyal lease grant 60s\n  loyal put session me --lease 7\n  loyal lease keep-alive 7");
    group->require_subcommand(1);
    auto text = std::make_shared<std::string>();
    auto flag = std::make_shared<bool>(false);

    CLI::App* grant_command = add_command(*group, "grant", "Make a lease; prints its id", "loyal lease grant 60s");
    grant_command->add_option("ttl", *text, "Time to live: 1s to 366d; a number alone is of seconds")
        ->required()
        ->type_name("TTL");
    when_chosen(grant_command, context, [&context, text] { return grant(context.globals, *text); });

    CLI::App* revoke_command =
        add_command(*group, "revoke", "End a lease: its keys are deleted, its locks given up", "loyal lease revoke 7");
    revoke_command->add_option("lease", *text, "The lease")->required()->type_name("ID");
    when_chosen(revoke_command, context, [&context, text] { return revoke(context.globals, *text); });

    CLI::App* keep_command = add_command(*group, "keep-alive", "Renew a lease until Ctrl-C; exit code 1 when it ended",
                                         "loyal lease keep-alive 7\n  loyal lease keep-alive 7 --once");
    keep_command->add_option("lease", *text, "The lease")->required()->type_name("ID");
    keep_command->add_flag("--once", *flag, "Renew it once");
    when_chosen(keep_command, context, [&context, text, flag] { return keep_alive(context.globals, *text, *flag); });

    CLI::App* ttl_command = add_command(*group, "ttl", "How long a lease still has, by the cluster's clock",
                                        "loyal lease ttl 7\n  loyal lease ttl 7 --keys");
    ttl_command->add_option("lease", *text, "The lease")->required()->type_name("ID");
    ttl_command->add_flag("--keys", *flag, "Also the keys that are attached to it");
    when_chosen(ttl_command, context, [&context, text, flag] { return time_to_live(context.globals, *text, *flag); });

    CLI::App* list_command = add_command(*group, "list", "All leases", "loyal lease list -w table");
    when_chosen(list_command, context, [&context] { return list(context.globals); });
}

}  // namespace loyal::cli
