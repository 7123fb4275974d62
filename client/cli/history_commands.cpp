// history: the versions of a key. compact: forget old ones.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/item_text.h"
#include "client/cli/model_arguments.h"
#include "config/limits.h"

namespace loyal::cli {

namespace {

using HistoryJson = nlohmann::ordered_json;

struct HistoryOptions {
    std::string key;
    std::string revision;
    std::uint64_t limit = 0;
    TextForm form = TextForm::plain;
};

HistoryJson version_json(const kvstore::Item& item) {
    HistoryJson document = item_json(item, false);
    document.erase("key");
    const bool deleted = item.version == 0;
    if (deleted) {
        document["value"] = nullptr;
    }
    document["deleted"] = deleted;
    return document;
}

void print_versions(const std::vector<kvstore::Item>& items, const HistoryOptions& options, OutputFormat format,
                    bool first) {
    if (format == OutputFormat::table) {
        std::vector<std::vector<std::string>> rows = {{"REVISION", "VERSION", "TIMESTAMP", "CHANGE", "VALUE"}};
        for (const kvstore::Item& item : items) {
            rows.push_back({std::to_string(item.revision.value), std::to_string(item.version),
                            rfc3339(item.timestamp.wall_ms()), item.version == 0 ? "del" : "put",
                            printable(item.value, options.form)});
        }
        print(table(rows));
        return;
    }
    for (const kvstore::Item& item : items) {
        if (format == OutputFormat::json) {
            print((first ? "" : ",") + version_json(item).dump(-1, ' ', false, HistoryJson::error_handler_t::replace));
            first = false;
        } else {
            print(fmt::format("{}\t{}\t{}\t{}\n", item.revision.value, rfc3339(item.timestamp.wall_ms()),
                              item.version == 0 ? "del" : "put", value_line(item.value, options.form)));
        }
    }
}

Answer<Exit> history(const Globals& globals, const HistoryOptions& options) {
    Answer<Bytes> key = key_argument(options.key, options.form);
    if (!key) {
        return tl::unexpected<Failure>(std::move(key.error()));
    }
    kvstore::Range range;
    range.begin = std::move(*key);
    range.history = true;
    if (!options.revision.empty()) {
        const Answer<std::uint64_t> revision = number_argument(options.revision, "--rev: a revision");
        if (!revision) {
            return tl::unexpected<Failure>(revision.error());
        }
        range.revision = kvstore::Revision(*revision);
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    std::uint64_t left = options.limit == 0 ? UINT64_MAX : options.limit;
    bool more = false;
    for (bool first = true;; first = false) {
        range.limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, limits::range_items_max));
        const client::ReadResult page = connection->client->read_sync(range);
        if (!first && page.status == kvstore::Status::compacted) {
            more = false;
            break;  // what came before is forgotten meanwhile
        }
        if (const Answer<void> answer = judge(page); !answer) {
            return tl::unexpected<Failure>(answer.error());
        }
        if (first && page.range.items.empty()) {
            return refuse(Exit::negative, "not_found", "key not found, and no change of it is known");
        }
        if (first && globals.format == OutputFormat::json) {
            print("{\"key\":" + json_of(range.begin).dump() + ",\"versions\":[");
        }
        print_versions(page.range.items, options, globals.format, first);
        left -= std::min<std::uint64_t>(left, page.range.items.size());
        more = page.range.more;
        if (!more || left == 0 || page.range.items.empty() || page.range.items.back().revision.value <= 1) {
            break;
        }
        // A key changes at most once in a revision.
        range.revision = kvstore::Revision(page.range.items.back().revision.value - 1);
    }
    if (globals.format == OutputFormat::json) {
        print(fmt::format("],\"more\":{}}}\n", more));
    }
    return Exit::done;
}

Answer<Exit> compact(const Globals& globals, const std::string& text) {
    const Answer<std::uint64_t> revision = number_argument(text, "a revision");
    if (!revision) {
        return tl::unexpected<Failure>(revision.error());
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const client::WriteResult result = connection->client->write_sync(kvstore::Compact{kvstore::Revision(*revision)});
    if (const Answer<void> answer = judge(result); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    if (globals.format == OutputFormat::json) {
        HistoryJson document = write_json(result);
        document["compacted"] = *revision;
        print_json(document);
    } else {
        print(fmt::format("compacted revision {}\n", *revision));
    }
    return Exit::done;
}

}  // namespace

void add_history_commands(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<HistoryOptions>();
    CLI::App* command =
        add_command(app, "history", "The versions of a key, newest first: revision, time, change and value",
                    "loyal history greeting\n  loyal history greeting --limit 3 --rev 17 -w json");
    command->add_option("key", options->key, "The key")->required();
    command->add_option("--rev", options->revision, "From this revision back")->type_name("R");
    command->add_option("--limit", options->limit, "At most so many versions (0: all that are known)");
    add_text_form(command, options->form);
    when_chosen(command, context, [&context, options] { return history(context.globals, *options); });

    auto revision = std::make_shared<std::string>();
    CLI::App* compact_command =
        add_command(app, "compact", "Forget what was before a revision; reading below it is an error from then on",
                    "loyal compact 1000");
    compact_command->add_option("revision", *revision, "The oldest revision to keep")->required()->type_name("REV");
    when_chosen(compact_command, context, [&context, revision] { return compact(context.globals, *revision); });
}

}  // namespace loyal::cli
