// get: one key, a prefix or a range, now or in the past.
#include <chrono>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/choice.h"
#include "client/cli/command.h"
#include "client/cli/item_text.h"
#include "client/cli/model_arguments.h"
#include "client/cli/proof_commands.h"
#include "client/cli/range_pages.h"
#include "config/limits.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

enum class Consistency : std::uint8_t { linearizable, stale };

struct GetOptions {
    std::string key;
    std::string prefix;
    std::string to;
    std::string revision;
    std::string at;
    bool by_prefix = false;
    bool by_range = false;
    bool has_key = false;
    std::uint64_t limit = 0;
    bool keys_only = false;
    bool count = false;
    bool reverse = false;
    Consistency consistency = Consistency::linearizable;
    std::optional<std::uint16_t> replica;
    ProofFiles proof;
    TextForm form = TextForm::plain;
};

std::int64_t age_ms(consensus::Hlc state) {
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
    return now.count() - static_cast<std::int64_t>(state.wall_ms());
}

void add_source(Json& document, const client::ReadResult& read) {
    document["replicas"] = json_of(read.replicas);
    document["path"] = name_of(read.path);
    if (read.path == client::ReadPath::stale) {
        document["trust"] = "one replica, confirmed by no other";
        document["state"] = Json{{"sequence", read.executed.value},
                                 {"revision", read.revision.value},
                                 {"timestamp", json_of(read.hlc)},
                                 {"age_ms", age_ms(read.hlc)}};
    }
}

void note_staleness(const client::ReadResult& read) {
    if (read.path != client::ReadPath::stale) {
        return;
    }
    print_error(
        fmt::format("stale: the word of replica {} alone, confirmed by no other; its state is that of sequence {}, "
                    "revision {}, whose last write was {} ms ago ({})\n",
                    read.replicas.empty() ? 0 : read.replicas.front().value, read.executed.value, read.revision.value,
                    age_ms(read.hlc), rfc3339(read.hlc.wall_ms())));
}

Answer<Exit> print_one(const Globals& globals, const GetOptions& options, const client::ReadResult& read) {
    note_staleness(read);
    if (options.count) {
        print(globals.format == OutputFormat::json ? Json{{"count", read.range.count}}.dump() + "\n"
                                                   : fmt::format("{}\n", read.range.count));
        return Exit::done;
    }
    if (read.range.items.empty()) {
        return refuse(Exit::negative, "not_found", "key not found");
    }
    const kvstore::Item& item = read.range.items.front();
    if (globals.format == OutputFormat::json) {
        Json document = item_json(item, options.keys_only);
        add_source(document, read);
        print_json(document);
    } else if (globals.format == OutputFormat::table) {
        print(item_table(read.range.items, options.form, options.keys_only));
    } else {
        // The value alone, byte for byte, so that a redirection holds exactly what was put.
        print(text_in_form(options.keys_only ? item.key : item.value, options.form));
        print(output_is_terminal() || options.form != TextForm::plain ? "\n" : "");
    }
    return Exit::done;
}

// Prints each page as it comes, so that a range of any length takes the memory of one page.
class RangePrinter {
 public:
    RangePrinter(const GetOptions& options, OutputFormat format) : options_(options), format_(format) {}

    void take(client::ReadResult page) {
        if (!first_) {
            note_staleness(page);
            if (format_ == OutputFormat::json && !options_.count) {
                print("{\"items\":[");
            }
        }
        count_ += page.range.count;
        if (!options_.count) {
            print_items(page.range.items);
        }
        if (!first_) {
            page.range.items.clear();
            first_ = std::move(page);
        }
    }

    void finish(bool more) {
        if (format_ == OutputFormat::json) {
            Json rest = {{"count", count_},
                         {"more", more && !options_.count},
                         {"revision", first_->revision.value},
                         {"snapshot", true}};
            add_source(rest, *first_);
            print((options_.count ? "{" : "],") + rest.dump().substr(1) + "\n");
        } else if (options_.count) {
            print(fmt::format("{}\n", count_));
        }
    }

 private:
    void print_items(const std::vector<kvstore::Item>& items) {
        if (format_ == OutputFormat::table) {
            print(item_table(items, options_.form, options_.keys_only));
            return;
        }
        for (const kvstore::Item& item : items) {
            if (format_ == OutputFormat::json) {
                print((any_ ? "," : "") +
                      item_json(item, options_.keys_only).dump(-1, ' ', false, Json::error_handler_t::replace));
            } else {
                print(item_line(item, options_.form, options_.keys_only) + "\n");
            }
            any_ = true;
        }
    }

    const GetOptions& options_;
    OutputFormat format_;
    std::optional<client::ReadResult> first_;  // without its items
    std::uint64_t count_ = 0;
    bool any_ = false;
};

Answer<void> take_past(kvstore::Range& range, const GetOptions& options) {
    if (!options.revision.empty() && !options.at.empty()) {
        return refuse_input("a read is as of a revision (--rev) or as of a time (--at), not both");
    }
    if (!options.revision.empty()) {
        const Answer<std::uint64_t> revision = number_argument(options.revision, "--rev: a revision");
        if (!revision) {
            return tl::unexpected<Failure>(revision.error());
        }
        range.revision = kvstore::Revision(*revision);
    }
    if (!options.at.empty()) {
        const Answer<consensus::Hlc> at = time_argument(options.at);
        if (!at) {
            return tl::unexpected<Failure>(at.error());
        }
        range.at = *at;
    }
    return {};
}

Answer<kvstore::Range> range_of(const GetOptions& options) {
    if (options.by_prefix && (options.has_key || options.by_range)) {
        return refuse_input("--prefix goes without a key and without --to");
    }
    if (!options.by_prefix && !options.has_key) {
        return refuse_input("get takes a key, --prefix P, or a key and --to B");
    }
    if (options.replica && options.consistency != Consistency::stale) {
        return refuse_input("--replica goes with --consistency stale");
    }
    kvstore::Range range;
    range.keys_only = options.keys_only;
    range.count_only = options.count;
    range.reverse = options.reverse;
    if (const Answer<void> past = take_past(range, options); !past) {
        return tl::unexpected<Failure>(past.error());
    }
    const Answer<Bytes> begin = options.by_prefix  ? decode_text(options.prefix, options.form, "prefix")
                                : options.by_range ? decode_text(options.key, options.form, "key")
                                                   : key_argument(options.key, options.form);
    if (!begin) {
        return tl::unexpected<Failure>(begin.error());
    }
    if (begin->size() > limits::key_bytes_max) {
        return refuse_input(fmt::format("no key is longer than {} bytes", limits::key_bytes_max));
    }
    range.begin = *begin;
    if (options.by_prefix) {
        range.end = end_of_prefix(range.begin);
    } else if (options.by_range) {
        Answer<Bytes> end = key_argument(options.to, options.form);
        if (!end) {
            return tl::unexpected<Failure>(std::move(end.error()));
        }
        range.end = std::move(*end);
        if (const Answer<void> checked = check_range(range.begin, *range.end); !checked) {
            return tl::unexpected<Failure>(checked.error());
        }
    }
    return range;
}

Answer<Exit> get(const Globals& globals, const GetOptions& options) {
    const Answer<kvstore::Range> range = range_of(options);
    if (!range) {
        return tl::unexpected<Failure>(range.error());
    }
    if (options.proof.wanted()) {
        if (range->end || range->revision || range->at || options.count || options.keys_only ||
            options.consistency == Consistency::stale) {
            return refuse_input("--proof and --proof-state go with one key and nothing else");
        }
        return get_with_proof(globals, range->begin, options.form, options.proof);
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    if (options.replica && *options.replica >= connection->cluster.replicas.size()) {
        return refuse_input(fmt::format("there is no replica {}", *options.replica));
    }
    std::optional<StaleSource> stale;
    if (options.consistency == Consistency::stale) {
        stale.emplace();
        if (options.replica) {
            stale->from = consensus::ReplicaId(*options.replica);
        }
    }
    RangePages pages(*connection->client, *range, options.limit, stale);
    RangePrinter printer(options, globals.format);
    while (true) {
        client::ReadResult page;
        const Answer<bool> got = pages.next(page);
        if (!got) {
            return tl::unexpected<Failure>(got.error());
        }
        if (!*got) {
            printer.finish(pages.more());
            return Exit::done;
        }
        if (!range->end) {
            return print_one(globals, options, page);
        }
        printer.take(std::move(page));
        if (const Answer<void> written = finish_output(); !written) {
            return tl::unexpected<Failure>(written.error());
        }
    }
}

}  // namespace

void add_get_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<GetOptions>();
    CLI::App* command = add_command(
        app, "get", "Read a key, a prefix or a range; its pages show one revision",
        "loyal get greeting\n  loyal get --prefix users/ --keys-only\n  loyal get a --to b --limit 10 --reverse\n"
        "  loyal get greeting --rev 17\n  loyal get greeting --at 2026-03-01T12:00:00Z\n"
        "  loyal get greeting --consistency stale -w json");
    CLI::Option* key = command->add_option("key", options->key, "The key, or the first one of a range with --to");
    CLI::Option* prefix =
        command->add_option("--prefix", options->prefix, "All keys that begin with this; \"\" means all keys");
    CLI::Option* to =
        command->add_option("--to", options->to, "All keys from the given one up to, but not including, this one");
    command->add_option("--rev", options->revision, "As of this revision")->type_name("R");
    command->add_option("--at", options->at, "As of this time: RFC 3339, or <wall ms>.<counter>")->type_name("TIME");
    command->add_option("--limit", options->limit, "At most so many keys (0: all)");
    command->add_flag("--keys-only", options->keys_only, "Leave the values out");
    command->add_flag("--count", options->count, "Only how many keys there are");
    command->add_flag("--reverse", options->reverse, "From the last key to the first");
    command->add_option("--consistency", options->consistency, "linearizable (default), or stale: one replica's word")
        ->type_name("LEVEL")
        ->transform(choice(std::map<std::string, Consistency>{{"linearizable", Consistency::linearizable},
                                                              {"stale", Consistency::stale}}));
    command->add_option("--replica", options->replica, "With --consistency stale: which replica to ask (default: any)");
    add_get_proof_options(command, options->proof);
    add_text_form(command, options->form);
    when_chosen(command, context, [&context, options, key, prefix, to] {
        options->has_key = key->count() > 0;
        options->by_prefix = prefix->count() > 0;
        options->by_range = to->count() > 0;
        return get(context.globals, *options);
    });
}

}  // namespace loyal::cli
