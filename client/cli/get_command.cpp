// get: one key, a prefix or a range.
#include <chrono>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/record_format.h"
#include "config/limits.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

enum class Consistency : std::uint8_t { linearizable, stale };

struct GetOptions {
    std::string key;
    std::string prefix;
    std::string to;
    bool by_prefix = false;
    bool by_range = false;
    bool has_key = false;
    std::uint64_t limit = 0;
    bool keys_only = false;
    bool count = false;
    bool reverse = false;
    Consistency consistency = Consistency::linearizable;
    std::optional<std::uint16_t> replica;
    TextForm form = TextForm::plain;
};

// Everything that came of one or more pages.
struct Pages {
    std::vector<kvstore::Item> items;
    std::uint64_t count = 0;
    bool more = false;         // the limit ended before the range did
    bool snapshot = true;      // all pages show one revision
    client::ReadResult first;  // without its items
};

const char* name_of(client::ReadPath path) {
    switch (path) {
        case client::ReadPath::fast: return "fast";
        case client::ReadPath::ordered: return "ordered";
        case client::ReadPath::stale: break;
    }
    return "stale";
}

client::ReadResult ask(client::Client& client, const kvstore::Range& range, const GetOptions& options) {
    if (options.consistency == Consistency::linearizable) {
        return client.read_sync(range);
    }
    std::optional<consensus::ReplicaId> from;
    if (options.replica) {
        from = consensus::ReplicaId(*options.replica);
    }
    return client.read_stale_sync(range, from);
}

// The part of `range` that is behind `last`.
void continue_behind(kvstore::Range& range, const Bytes& last) {
    if (range.reverse) {
        range.end = last;  // exclusive
        return;
    }
    range.begin = last;
    range.begin.push_back(0);
}

Answer<Pages> read_pages(client::Client& client, kvstore::Range range, const GetOptions& options) {
    Pages pages;
    std::uint64_t left = options.limit == 0 ? UINT64_MAX : options.limit;
    for (bool first = true;; first = false) {
        range.limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, limits::range_items_max));
        client::ReadResult page = ask(client, range, options);
        if (const Answer<void> answer = judge(page); !answer) {
            return tl::unexpected<Failure>(answer.error());
        }
        std::vector<kvstore::Item> items = std::move(page.range.items);
        page.range.items.clear();
        pages.count += range.count_only ? page.range.count : items.size();
        pages.more = page.range.more;
        pages.snapshot = pages.snapshot && (first || page.revision == pages.first.revision);
        if (first) {
            pages.first = page;
        }
        left -= std::min<std::uint64_t>(left, items.size());
        if (!items.empty()) {
            continue_behind(range, items.back().key);
        }
        const bool go_on = pages.more && !items.empty() && left > 0 && range.end.has_value();
        pages.items.insert(pages.items.end(), std::make_move_iterator(items.begin()),
                           std::make_move_iterator(items.end()));
        if (!go_on) {
            return pages;
        }
    }
}

Json item_json(const kvstore::Item& item, bool keys_only) {
    return Json{{"key", json_of(item.key)},
                {"value", keys_only ? Json() : json_of(item.value)},
                {"revision", item.revision.value},
                {"version", item.version},
                {"timestamp", json_of(item.timestamp)},
                {"lease", nullptr}};
}

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

void print_table(const std::vector<kvstore::Item>& items, const GetOptions& options) {
    std::vector<std::vector<std::string>> rows = {{"KEY", "REVISION", "VERSION", "TIMESTAMP", "VALUE"}};
    for (const kvstore::Item& item : items) {
        rows.push_back({printable(item.key, options.form), std::to_string(item.revision.value),
                        std::to_string(item.version), rfc3339(item.timestamp.wall_ms()),
                        printable(item.value, options.form)});
        if (options.keys_only) {
            rows.back().pop_back();
        }
    }
    if (options.keys_only) {
        rows.front().pop_back();
    }
    print(table(rows));
}

Answer<Exit> print_one(const Globals& globals, const GetOptions& options, const Pages& pages) {
    note_staleness(pages.first);
    if (options.count) {
        print(globals.format == OutputFormat::json ? Json{{"count", pages.count}}.dump() + "\n"
                                                   : fmt::format("{}\n", pages.count));
        return Exit::done;
    }
    if (pages.items.empty()) {
        return refuse(Exit::negative, "not_found", "key not found");
    }
    const kvstore::Item& item = pages.items.front();
    if (globals.format == OutputFormat::json) {
        Json document = item_json(item, options.keys_only);
        add_source(document, pages.first);
        print_json(document);
    } else if (globals.format == OutputFormat::table) {
        print_table(pages.items, options);
    } else {
        // The value alone, byte for byte, so that a redirection holds exactly what was put.
        print(text_in_form(options.keys_only ? item.key : item.value, options.form));
        print(output_is_terminal() || options.form != TextForm::plain ? "\n" : "");
    }
    return Exit::done;
}

// As `export` writes it, so that each item is one line whatever its bytes are.
std::string line_of(const kvstore::Item& item, const GetOptions& options) {
    if (options.form == TextForm::plain) {
        const std::string line = write_record(item.key, item.value, RecordFormat::tsv);
        return options.keys_only ? line.substr(0, line.find('\t')) : line;
    }
    const std::string key = text_in_form(item.key, options.form);
    return options.keys_only ? key : key + "\t" + text_in_form(item.value, options.form);
}

Answer<Exit> print_range(const Globals& globals, const GetOptions& options, const Pages& pages) {
    note_staleness(pages.first);
    if (globals.format == OutputFormat::json) {
        Json document = Json::object();
        if (!options.count) {
            document["items"] = Json::array();
            for (const kvstore::Item& item : pages.items) {
                document["items"].push_back(item_json(item, options.keys_only));
            }
        }
        document["count"] = pages.count;
        document["more"] = pages.more && !options.count;
        document["revision"] = pages.first.revision.value;
        document["snapshot"] = pages.snapshot;
        add_source(document, pages.first);
        print_json(document);
        return Exit::done;
    }
    if (options.count) {
        print(fmt::format("{}\n", pages.count));
    } else if (globals.format == OutputFormat::table) {
        print_table(pages.items, options);
    } else {
        for (const kvstore::Item& item : pages.items) {
            print(line_of(item, options) + "\n");
        }
    }
    if (!pages.snapshot) {
        print_error(
            "note: other writes came in between; the range was read in pages, which show different revisions\n");
    }
    return Exit::done;
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
    }
    return range;
}

Answer<Exit> get(const Globals& globals, const GetOptions& options) {
    const Answer<kvstore::Range> range = range_of(options);
    if (!range) {
        return tl::unexpected<Failure>(range.error());
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    if (options.replica && *options.replica >= connection->cluster.replicas.size()) {
        return refuse_input(fmt::format("there is no replica {}", *options.replica));
    }
    const Answer<Pages> pages = read_pages(*connection->client, *range, options);
    if (!pages) {
        return tl::unexpected<Failure>(pages.error());
    }
    return range->end ? print_range(globals, options, *pages) : print_one(globals, options, *pages);
}

}  // namespace

void add_get_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<GetOptions>();
    CLI::App* command = add_command(
        app, "get", "Read a key, a prefix or a range",
        "loyal get greeting\n  loyal get --prefix users/ --keys-only\n  loyal get a --to b --limit 10 --reverse\n"
        "  loyal get greeting --consistency stale -w json");
    CLI::Option* key = command->add_option("key", options->key, "The key, or the first one of a range with --to");
    CLI::Option* prefix =
        command->add_option("--prefix", options->prefix, "All keys that begin with this; \"\" means all keys");
    CLI::Option* to =
        command->add_option("--to", options->to, "All keys from the given one up to, but not including, this one");
    command->add_option("--limit", options->limit, "At most so many keys (0: all)");
    command->add_flag("--keys-only", options->keys_only, "Leave the values out");
    command->add_flag("--count", options->count, "Only how many keys there are");
    command->add_flag("--reverse", options->reverse, "From the last key to the first");
    command->add_option("--consistency", options->consistency, "linearizable (default), or stale: one replica's word")
        ->type_name("LEVEL")
        ->transform(CLI::CheckedTransformer(std::map<std::string, Consistency>{
            {"linearizable", Consistency::linearizable}, {"stale", Consistency::stale}}));
    command->add_option("--replica", options->replica, "With --consistency stale: which replica to ask (default: any)");
    add_text_form(command, options->form);
    when_chosen(command, context, [&context, options, key, prefix, to] {
        options->has_key = key->count() > 0;
        options->by_prefix = prefix->count() > 0;
        options->by_range = to->count() > 0;
        return get(context.globals, *options);
    });
}

}  // namespace loyal::cli
