// watch: a line for every change of a key, a prefix or a range, until Ctrl-C.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/interrupt.h"
#include "client/cli/record_format.h"
#include "config/limits.h"

namespace loyal::cli {

namespace {

using client::WatchNews;
using WatchJson = nlohmann::ordered_json;

constexpr std::uint64_t progress_every_ms = 1'000;

struct WatchArguments {
    std::string key, prefix, to;
    bool has_key = false, by_prefix = false, by_range = false;
    std::optional<std::uint64_t> revision;
    bool previous = false;
    bool progress = false;
    std::uint64_t limit = 0;
    TextForm form = TextForm::plain;
};

Answer<client::WatchOptions> watched(const WatchArguments& arguments) {
    if (arguments.by_prefix && (arguments.has_key || arguments.by_range)) {
        return refuse_input("--prefix goes without a key and without --to");
    }
    if (!arguments.by_prefix && !arguments.has_key) {
        return refuse_input("watch takes a key, --prefix P, or a key and --to B");
    }
    if (arguments.revision == std::uint64_t{0}) {
        return refuse_input("--rev: revisions count from 1; without --rev the watch begins now");
    }
    const Answer<Bytes> begin = arguments.by_prefix  ? decode_text(arguments.prefix, arguments.form, "prefix")
                                : arguments.by_range ? decode_text(arguments.key, arguments.form, "key")
                                                     : key_argument(arguments.key, arguments.form);
    if (!begin) {
        return tl::unexpected<Failure>(begin.error());
    }
    if (begin->size() > limits::key_bytes_max) {
        return refuse_input(fmt::format("no key is longer than {} bytes", limits::key_bytes_max));
    }
    client::WatchOptions options;
    options.begin = *begin;
    if (arguments.by_prefix) {
        options.end = end_of_prefix(*begin);
    } else if (arguments.by_range) {
        Answer<Bytes> end = key_argument(arguments.to, arguments.form);
        if (!end) {
            return tl::unexpected<Failure>(std::move(end.error()));
        }
        options.end = std::move(*end);
    }
    if (arguments.revision) {
        options.from = kvstore::Revision(*arguments.revision);
    }
    options.want_previous = arguments.previous;
    options.progress_ms = arguments.progress ? progress_every_ms : 0;
    return options;
}

WatchJson json_of_record(const kvstore::KeyRecord& record) {
    return {{"value", json_of(record.value)},
            {"revision", record.id.revision.value},
            {"version", record.version},
            {"timestamp", json_of(record.timestamp)}};
}

WatchJson json_of_change(const kvstore::Change& change, bool with_previous) {
    const bool deleted = change.now.version == 0;
    WatchJson document = {{"type", deleted ? "delete" : "put"},
                          {"key", json_of(change.key)},
                          {"value", deleted ? WatchJson() : json_of(change.now.value)},
                          {"revision", change.now.id.revision.value},
                          {"part", change.now.id.part},
                          {"created", deleted ? WatchJson() : WatchJson(change.now.created.value)},
                          {"version", change.now.version},
                          {"timestamp", json_of(change.now.timestamp)},
                          {"lease", change.now.lease.value == 0 ? WatchJson() : WatchJson(change.now.lease.value)}};
    if (with_previous) {
        document["previous"] = change.previous ? json_of_record(*change.previous) : WatchJson();
    }
    return document;
}

// Prints what it is told, on the client's thread: whoever reads slowly slows the watch, not the memory.
class WatchPrinter {
 public:
    WatchPrinter(const WatchArguments& arguments, OutputFormat format) : arguments_(arguments), format_(format) {}

    void on(const WatchNews& news) {
        if (over_) {
            return;
        }
        switch (news.kind) {
            case WatchNews::Kind::started: break;
            case WatchNews::Kind::changes:
                for (const kvstore::Change& change : news.changes) {
                    show(change);
                    if (arguments_.limit != 0 && ++told_ == arguments_.limit) {
                        return finish({});
                    }
                }
                break;
            case WatchNews::Kind::progress: show_progress(news.revision); break;
            case WatchNews::Kind::behind:
                print_error(
                    "note: this watch is behind; the replicas feed it from the history until it has caught up\n");
                break;
            case WatchNews::Kind::ended: return finish(failure_of_watch(news));
        }
        if (std::fflush(stdout) != 0) {
            finish({});  // nobody reads any more: finish_output() says why
        }
    }
    // True: it is over.
    [[nodiscard]] bool wait(std::chrono::milliseconds time) {
        std::unique_lock lock(mutex_);
        return ended_.wait_for(lock, time, [this] { return over_.load(); });
    }
    [[nodiscard]] std::optional<Failure> failure() {
        const std::lock_guard lock(mutex_);
        return failure_;
    }

 private:
    static Failure failure_of_watch(const WatchNews& news) {
        switch (news.ending) {
            case WatchNews::Ending::compacted:
                return {Exit::negative, "compacted", fmt::format("{} (--rev {})", news.why, news.revision.value)};
            case WatchNews::Ending::denied: return {Exit::not_allowed, "denied", news.why};
            case WatchNews::Ending::invalid: return {Exit::usage, "bad_input", news.why};
            case WatchNews::Ending::too_many: return {Exit::not_applied, "too_many_watches", news.why};
            case WatchNews::Ending::unavailable:
            case WatchNews::Ending::closed: break;
        }
        return {Exit::not_applied, "unavailable", news.why};
    }
    void finish(std::optional<Failure> failure) {
        (void)std::fflush(stdout);
        {
            const std::lock_guard lock(mutex_);
            over_ = true;
            failure_ = std::move(failure);
        }
        ended_.notify_all();
    }
    // A terminal would act on some bytes; a program gets them as `export` writes them.
    [[nodiscard]] std::string field(ByteView bytes) const {
        if (arguments_.form != TextForm::plain) {
            return text_in_form(bytes, arguments_.form);
        }
        if (output_is_terminal()) {
            return printable(bytes, arguments_.form);
        }
        const std::string line = write_record(bytes, {}, RecordFormat::tsv);
        return line.substr(0, line.size() - 1);
    }
    void show(const kvstore::Change& change) const {
        if (format_ == OutputFormat::json) {
            return print_json(json_of_change(change, arguments_.previous));
        }
        const bool deleted = change.now.version == 0;
        std::string line;
        if (format_ == OutputFormat::table) {
            line = fmt::format("{:>10}  {}  ", change.now.id.revision.value, rfc3339(change.now.timestamp.wall_ms()));
        }
        line += fmt::format("{}\t{}", deleted ? "DELETE" : "PUT", field(change.key));
        if (!deleted) {
            line += "\t" + field(change.now.value);
        }
        if (arguments_.previous) {
            line += "\t" + (change.previous ? field(change.previous->value) : std::string());
        }
        print(line + "\n");
    }
    void show_progress(kvstore::Revision revision) const {
        if (format_ == OutputFormat::json) {
            print_json(WatchJson{{"type", "progress"}, {"revision", revision.value}});
        } else {
            print(fmt::format("PROGRESS\t{}\n", revision.value));
        }
    }

    const WatchArguments& arguments_;
    OutputFormat format_;
    std::uint64_t told_ = 0;
    std::mutex mutex_;
    std::condition_variable ended_;
    std::atomic<bool> over_ = false;
    std::optional<Failure> failure_;
};

Answer<Exit> watch(const Globals& globals, const WatchArguments& arguments) {
    const Answer<client::WatchOptions> options = watched(arguments);
    if (!options) {
        return tl::unexpected<Failure>(options.error());
    }
    Answer<Connection> connection = connect(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const std::atomic<bool>& interrupted = catch_interrupt(SecondInterrupt::ends_program);
    WatchPrinter printer(arguments, globals.format);
    (void)connection->client->watch(*options, [&printer](const WatchNews& news) { printer.on(news); });
    while (!interrupted && !printer.wait(std::chrono::milliseconds(50))) {
    }
    const std::optional<Failure> failure = interrupted ? std::nullopt : printer.failure();
    connection->client->close();
    if (failure) {
        return tl::unexpected<Failure>(*failure);
    }
    return Exit::done;
}

}  // namespace

void add_watch_command(CLI::App& app, CommandContext& context) {
    auto arguments = std::make_shared<WatchArguments>();
    CLI::App* command = add_command(app, "watch", "Tell every change of a key, a prefix or a range, until Ctrl-C",
                                    "loyal watch greeting\n  loyal watch --prefix users/ --rev 1200 --prev\n"
                                    "  loyal watch a --to b --limit 10 -w json");
    CLI::Option* key = command->add_option("key", arguments->key, "The key, or the first one of a range with --to");
    CLI::Option* prefix =
        command->add_option("--prefix", arguments->prefix, "All keys that begin with this; \"\" means all keys");
    CLI::Option* to =
        command->add_option("--to", arguments->to, "All keys from the given one up to, but not including, this one");
    command->add_option("--rev", arguments->revision, "From the changes of this revision on (default: from now)");
    command->add_flag("--prev", arguments->previous, "With what was there before each change");
    command->add_flag("--progress", arguments->progress,
                      "Also tell, at most once a second, up to which revision everything was told");
    command->add_option("--limit", arguments->limit, "End after so many changes (0: never)");
    add_text_form(command, arguments->form);
    when_chosen(command, context, [&context, arguments, key, prefix, to] {
        arguments->has_key = key->count() > 0;
        arguments->by_prefix = prefix->count() > 0;
        arguments->by_range = to->count() > 0;
        return watch(context.globals, *arguments);
    });
}

}  // namespace loyal::cli
