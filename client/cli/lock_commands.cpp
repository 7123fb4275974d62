// lock: a fair lock with fencing tokens. elect: leader election on the same base.
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/held_command.h"
#include "client/cli/interrupt.h"
#include "client/cli/lock_queue.h"
#include "client/cli/model_arguments.h"
#include "config/duration.h"
#include "config/limits.h"

namespace loyal::cli {

namespace {

using LockJson = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds patience(2'000);  // between SIGTERM and SIGKILL for a command whose lock is lost
constexpr milliseconds look_every(20);

struct LockOptions {
    std::string name;
    std::string value;  // of elect
    std::string ttl = "10s";
    std::string wait;
    bool observe = false;
    bool query = false;
    std::vector<std::string> command;
};

struct LockRequest {
    Bytes name;
    Bytes value;
    std::uint64_t ttl_ms = 0;
    std::optional<std::uint64_t> wait_ms;
};

Answer<Bytes> name_argument(const std::string& text) {
    if (text.empty() || text.size() > limits::key_bytes_max) {
        return refuse_input(fmt::format("a lock's name has 1 to {} bytes, not {}", limits::key_bytes_max, text.size()));
    }
    return bytes_of(text);
}

Answer<LockRequest> request_of(const LockOptions& options) {
    LockRequest request;
    Answer<Bytes> name = name_argument(options.name);
    const Answer<std::uint64_t> ttl = ttl_argument(options.ttl);
    if (!name || !ttl) {
        return tl::unexpected<Failure>(!name ? name.error() : ttl.error());
    }
    request.name = std::move(*name);
    request.ttl_ms = *ttl;
    if (options.value.size() > limits::lock_value_bytes_max) {
        return refuse_input(fmt::format("the value has {} bytes; a leader shows at most {}", options.value.size(),
                                        limits::lock_value_bytes_max));
    }
    request.value = bytes_of(options.value);
    if (!options.wait.empty()) {
        const Result<std::uint64_t> wait = parse_duration_ms(options.wait, limits::lease_ttl_ms_max);
        if (!wait) {
            return refuse_input("--wait: " + wait.error().message);
        }
        request.wait_ms = *wait;
    }
    return request;
}

void print_held(const Globals& globals, const LockQueue& queue, const LockOptions& options, const char* what) {
    if (globals.format != OutputFormat::json) {
        print(fmt::format("{}\n", queue.token()));
        return;
    }
    LockJson document = {{what, json_of(bytes_of(options.name))}, {"token", queue.token()}};
    if (!options.value.empty()) {
        document["value"] = json_of(bytes_of(options.value));
    }
    document["lease"] = queue.lease().value;
    print_json(document);
}

// Until it is lost, or the program is told to end.
Answer<Exit> hold(const LockQueue& queue, const std::atomic<bool>& interrupted) {
    while (!interrupted) {
        if (queue.keeper().is_lost()) {
            return refuse(Exit::negative, "lock_lost", "the lock was lost: " + queue.keeper().why());
        }
        std::this_thread::sleep_for(look_every);
    }
    return Exit::done;
}

// The command's exit code, whatever it means to the command.
Answer<Exit> run_held(const LockQueue& queue, const LockOptions& options, const std::atomic<bool>& interrupted) {
    Answer<HeldCommand> command =
        HeldCommand::start(options.command, {{"LOYAL_FENCING_TOKEN", std::to_string(queue.token())},
                                             {"LOYAL_LOCK", options.name},
                                             {"LOYAL_LEASE", std::to_string(queue.lease().value)}});
    if (!command) {
        return tl::unexpected<Failure>(std::move(command.error()));
    }
    bool told = false;
    while (true) {
        if (const std::optional<int> code = command->wait(look_every)) {
            return static_cast<Exit>(*code);
        }
        if (queue.keeper().is_lost()) {
            const std::string why = queue.keeper().why();
            print_error(fmt::format("loyal: the lock was lost, {} is ended: {}\n", options.command.front(), why));
            const int code = command->end(patience);
            return refuse(Exit::negative, "lock_lost",
                          fmt::format("the lock was lost while {} ran (it ended with {}); what it wrote with "
                                      "--fence after that was refused: {}",
                                      options.command.front(), code, why));
        }
        if (interrupted && !told) {
            told = true;
            command->pass_on(interrupt_signal());
        }
    }
}

Answer<Exit> hold_lock(const Globals& globals, const LockOptions& options, const char* what) {
    Answer<LockRequest> request = request_of(options);
    if (!request) {
        return tl::unexpected<Failure>(std::move(request.error()));
    }
    Answer<Connection> connection = connect(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const std::atomic<bool>& interrupted = catch_interrupt(SecondInterrupt::is_ignored);
    Answer<std::unique_ptr<LockQueue>> entered =
        LockQueue::enter(*connection->client, std::move(request->name), std::move(request->value), request->ttl_ms);
    if (!entered) {
        return tl::unexpected<Failure>(std::move(entered.error()));
    }
    LockQueue& queue = **entered;
    if (const Answer<void> turn = queue.wait_for_turn(interrupted, request->wait_ms); !turn) {
        (void)queue.leave();
        return tl::unexpected<Failure>(turn.error());
    }
    print_held(globals, queue, options, what);
    Answer<Exit> ended = Exit::done;
    if (const Answer<void> written = finish_output(); !written) {
        ended = tl::unexpected<Failure>(written.error());
    } else {
        ended = options.command.empty() ? hold(queue, interrupted) : run_held(queue, options, interrupted);
    }
    if (const Answer<void> left = queue.leave(); !left && !queue.keeper().is_lost()) {
        print_error(
            fmt::format("loyal: the lock could not be given up, it ends with its lease: {}\n", left.error().message));
    }
    return ended;
}

// ---- Who leads

Answer<kvstore::LockReport> read_lock(client::Client& client, const Bytes& name) {
    const client::ReadResult read = client.read_sync(kvstore::LockQuery{name});
    if (const Answer<void> answer = judge(read); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    Result<kvstore::LockReport> report = kvstore::decode_lock_report(read.result);
    if (!report) {
        return tl::unexpected<Failure>(failure_of(report.error()));
    }
    return std::move(*report);
}

void print_leader(const Globals& globals, const LockOptions& options, const kvstore::LockReport& report) {
    const kvstore::LockWaiter& leader = report.queue.front();
    if (globals.format == OutputFormat::json) {
        print_json(LockJson{{"election", json_of(bytes_of(options.name))},
                            {"token", report.token},
                            {"value", json_of(leader.value)},
                            {"lease", leader.lease.value},
                            {"client", to_hex(leader.client.bytes)},
                            {"waiting", report.queue.size() - 1}});
    } else if (options.observe || globals.format == OutputFormat::table) {
        print(fmt::format("{}\t{}\n", report.token, printable(leader.value, TextForm::plain)));
    } else {
        print(string_of(leader.value) + "\n");
    }
}

Answer<Exit> who_leads(const Globals& globals, const LockOptions& options) {
    const Answer<Bytes> name = name_argument(options.name);
    if (!name) {
        return tl::unexpected<Failure>(name.error());
    }
    Answer<Connection> connection = connect(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const std::atomic<bool>& interrupted = catch_interrupt(SecondInterrupt::ends_program);
    constexpr milliseconds observe_every(200);
    std::uint64_t shown = 0;
    while (!interrupted) {
        const Answer<kvstore::LockReport> report = read_lock(*connection->client, *name);
        if (!report && (!options.observe || report.error().exit != Exit::not_applied)) {
            return tl::unexpected<Failure>(report.error());
        }
        if (report && !report->queue.empty() && report->token != shown) {
            print_leader(globals, options, *report);
            shown = report->token;
        }
        if (!options.observe) {
            return shown != 0 ? Answer<Exit>(Exit::done)
                              : refuse(Exit::negative, "no_leader", fmt::format("nobody leads {}", options.name));
        }
        if (const Answer<void> written = finish_output(); !written) {
            return tl::unexpected<Failure>(written.error());
        }
        std::this_thread::sleep_for(observe_every);
    }
    return Exit::done;
}

Answer<Exit> elect(const Globals& globals, const LockOptions& options) {
    if (!options.observe && !options.query) {
        return options.value.empty() ? refuse_input("elect takes NAME and VALUE, or NAME with --query or --observe")
                                     : hold_lock(globals, options, "election");
    }
    if (!options.value.empty() || !options.command.empty()) {
        return refuse_input("--query and --observe only look: they go without a value and without a command");
    }
    return who_leads(globals, options);
}

void add_shared(CLI::App* command, const std::shared_ptr<LockOptions>& options) {
    command->add_option("--ttl", options->ttl, "Time to live of the lease it is held on (default 10s)")
        ->type_name("DURATION");
    command->add_option("--wait", options->wait, "Give up after so long, with exit code 1 (default: wait on)")
        ->type_name("DURATION");
}

}  // namespace

void add_lock_commands(CLI::App& app, CommandContext& context) {
    auto lock_options = std::make_shared<LockOptions>();
    CLI::App* lock = add_command(
        app, "lock",
        "Acquire a lock, print its fencing token, and hold it until Ctrl-C or, after --, while COMMAND runs (with "
        "LOYAL_FENCING_TOKEN and LOYAL_LOCK); a command whose lock is lost is ended",
        "loyal lock backups\n  loyal lock backups --ttl 30s -- sh -c 'loyal put last $(date +%s) --fence "
        "$LOYAL_LOCK=$LOYAL_FENCING_TOKEN'");
    lock->add_option("name", lock_options->name, "The lock")->required()->type_name("NAME");
    add_shared(lock, lock_options);
    when_chosen(lock, context, [&context, lock_options] {
        lock_options->command = context.program;
        return hold_lock(context.globals, *lock_options, "lock");
    });

    auto elect_options = std::make_shared<LockOptions>();
    CLI::App* elect_command = add_command(
        app, "elect",
        "Become the leader of an election, until Ctrl-C or, after --, while COMMAND runs; or see who leads",
        "loyal elect scheduler host-7\n  loyal elect scheduler host-7 -- ./scheduler\n  loyal elect scheduler --query\n"
        "  loyal elect scheduler --observe");
    elect_command->add_option("name", elect_options->name, "The election")->required()->type_name("NAME");
    elect_command->add_option("value", elect_options->value, "What others see of the leader, at most 1 KiB")
        ->type_name("VALUE");
    add_shared(elect_command, elect_options);
    CLI::Option* query = elect_command->add_flag("--query", elect_options->query, "Who leads now; exit code 1: nobody");
    elect_command->add_flag("--observe,--listen", elect_options->observe, "A line a leader, until Ctrl-C")
        ->excludes(query);
    when_chosen(elect_command, context, [&context, elect_options] {
        elect_options->command = context.program;
        return elect(context.globals, *elect_options);
    });
}

}  // namespace loyal::cli
