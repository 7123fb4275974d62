// put, del, cas.
#include <array>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/write_pipeline.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

Json write_json(const client::WriteResult& result) {
    return Json{{"revision", result.outcome.revision.value},
                {"timestamp", json_of(result.outcome.hlc)},
                {"sequence", result.outcome.height.value},
                {"view", result.outcome.view.value},
                {"replicas", json_of(result.replicas)}};
}

Answer<Exit> write_one(const Globals& globals, kvstore::Operation operation, std::string_view simple) {
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const client::WriteResult result = connection->client->write_sync(std::move(operation));
    if (const Answer<void> answer = judge(result); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    switch (globals.format) {
        case OutputFormat::json: print_json(write_json(result)); break;
        case OutputFormat::table:
            print(table({{"REVISION", "SEQUENCE", "VIEW", "TIMESTAMP"},
                         {std::to_string(result.outcome.revision.value), std::to_string(result.outcome.height.value),
                          std::to_string(result.outcome.view.value), rfc3339(result.outcome.hlc.wall_ms())}}));
            break;
        case OutputFormat::simple: print(simple); break;
    }
    return Exit::done;
}

struct PutOptions {
    std::string key;
    std::string value;
    TextForm form = TextForm::plain;
};

Answer<Exit> put(const Globals& globals, const PutOptions& options) {
    Answer<Bytes> key = key_argument(options.key, options.form);
    if (!key) {
        return tl::unexpected<Failure>(std::move(key.error()));
    }
    Answer<Bytes> value = value_argument(options.value, options.form);
    if (!value) {
        return tl::unexpected<Failure>(std::move(value.error()));
    }
    return write_one(globals, kvstore::Put{std::move(*key), std::move(*value)}, "OK\n");
}

// Pages of keys are read, then deleted. Keys that others put meanwhile behind the page's end are found too.
Answer<Exit> delete_prefix(const Globals& globals, client::Client& client, const Bytes& prefix) {
    WritePipeline pipeline(client);
    kvstore::Range range;
    range.begin = prefix;
    range.end = end_of_prefix(prefix);
    range.keys_only = true;
    std::optional<Failure> read_failure;
    for (bool more = true; more && !pipeline.failed();) {
        const client::ReadResult page = client.read_sync(range);
        if (const Answer<void> answer = judge(page); !answer) {
            read_failure = answer.error();
            break;
        }
        for (const kvstore::Item& item : page.range.items) {
            (void)pipeline.submit(kvstore::Delete{item.key}, 0);
        }
        more = page.range.more && !page.range.items.empty();
        if (more) {
            range.begin = page.range.items.back().key;
            range.begin.push_back(0);
        }
    }
    const PipelineSummary summary = pipeline.finish();
    if (const std::optional<Failure>& cause = summary.failure ? summary.failure : read_failure) {
        Failure failure = *cause;
        failure.message = fmt::format("{} keys were deleted, {} may have been; then: {}", summary.done, summary.unknown,
                                      failure.message);
        return tl::unexpected<Failure>(std::move(failure));
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"deleted", summary.done}});
    } else {
        print(fmt::format("{}\n", summary.done));
    }
    return Exit::done;
}

struct DelOptions {
    std::string key;
    std::string prefix;
    bool by_prefix = false;
    TextForm form = TextForm::plain;
};

Answer<Exit> del(const Globals& globals, const DelOptions& options) {
    if (options.by_prefix == !options.key.empty()) {
        return refuse_input("del takes either a key or --prefix P");
    }
    if (!options.by_prefix) {
        Answer<Bytes> key = key_argument(options.key, options.form);
        if (!key) {
            return tl::unexpected<Failure>(std::move(key.error()));
        }
        return write_one(globals, kvstore::Delete{std::move(*key)}, "1\n");
    }
    const Answer<Bytes> prefix = decode_text(options.prefix, options.form, "prefix");
    if (!prefix) {
        return tl::unexpected<Failure>(prefix.error());
    }
    if (prefix->empty()) {
        return refuse_input("an empty prefix would delete every key; `loyal cluster wipe` ends a cluster");
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    return delete_prefix(globals, *connection->client, *prefix);
}

struct CasOptions {
    std::string key;
    std::vector<std::string> values;  // as many of OLD and NEW as were given
    bool absent = false;
    bool remove = false;
    TextForm form = TextForm::plain;
};

Answer<Exit> cas(const Globals& globals, const CasOptions& options) {
    const std::size_t wanted = (options.absent ? 0U : 1U) + (options.remove ? 0U : 1U);
    if (wanted == 0) {
        return refuse_input("--absent and --delete together would change nothing");
    }
    if (options.values.size() != wanted) {
        return refuse_input(fmt::format(
            "cas takes OLD and NEW; --absent stands for OLD, --delete for NEW: {} value{} wanted here, {} given",
            wanted, wanted == 1 ? "" : "s", options.values.size()));
    }
    if (wanted == 2 && options.values[0] == "-" && options.values[1] == "-") {
        return refuse_input("only one of OLD and NEW can come from standard input");
    }
    Answer<Bytes> key = key_argument(options.key, options.form);
    if (!key) {
        return tl::unexpected<Failure>(std::move(key.error()));
    }
    std::vector<Bytes> values;
    for (const std::string& text : options.values) {
        Answer<Bytes> value = value_argument(text, options.form);
        if (!value) {
            return tl::unexpected<Failure>(std::move(value.error()));
        }
        values.push_back(std::move(*value));
    }
    kvstore::CompareAndSet operation;
    operation.key = std::move(*key);
    if (!options.remove) {
        operation.value = std::move(values.back());
    }
    if (!options.absent) {
        operation.expect = std::move(values.front());
    }
    return write_one(globals, std::move(operation), "OK\n");
}

}  // namespace

void add_write_commands(CLI::App& app, CommandContext& context) {
    auto put_options = std::make_shared<PutOptions>();
    CLI::App* put_command =
        add_command(app, "put", "Store a value under a key",
                    "loyal put greeting hello\n  loyal put photo @photo.jpg\n  date | loyal put now -\n"
                    "  loyal put --hex 00ff 01\n  loyal put -- -key- -value-");
    put_command->add_option("key", put_options->key, "The key, 1 to 480 bytes")->required();
    put_command
        ->add_option("value", put_options->value, "The value, at most 1 MiB; - reads standard input, @FILE a file")
        ->required();
    add_text_form(put_command, put_options->form);
    when_chosen(put_command, context, [&context, put_options] { return put(context.globals, *put_options); });

    auto del_options = std::make_shared<DelOptions>();
    CLI::App* del_command =
        add_command(app, "del", "Delete a key, or all keys with a prefix; prints how many were deleted",
                    "loyal del greeting\n  loyal del --prefix users/");
    del_command->add_option("key", del_options->key, "The key; exit code 1 when it is absent");
    CLI::Option* prefix =
        del_command->add_option("--prefix", del_options->prefix, "Delete every key that begins with this");
    add_text_form(del_command, del_options->form);
    when_chosen(del_command, context, [&context, del_options, prefix] {
        del_options->by_prefix = prefix->count() > 0;
        return del(context.globals, *del_options);
    });

    auto cas_options = std::make_shared<CasOptions>();
    CLI::App* cas_command =
        add_command(app, "cas", "Compare and set: store NEW if the value is OLD; exit code 1 when it is not",
                    "loyal cas counter 1 2\n  loyal cas --absent leader me\n  loyal cas --delete leader me");
    cas_command->add_option("key", cas_options->key, "The key")->required();
    // Two strings, not a list: the parser would take a value such as [a,b] apart.
    auto given = std::make_shared<std::array<std::string, 2>>();
    const std::array<CLI::Option*, 2> options = {
        cas_command->add_option("old", (*given)[0], "OLD, as the value of put"),
        cas_command->add_option("new", (*given)[1], "NEW, as the value of put")};
    cas_command->add_flag("--absent", cas_options->absent, "Instead of OLD: the key must not exist");
    cas_command->add_flag("--delete", cas_options->remove, "Instead of NEW: delete the key");
    add_text_form(cas_command, cas_options->form);
    when_chosen(cas_command, context, [&context, cas_options, given, options] {
        for (std::size_t i = 0; i < options.size(); ++i) {
            if (options[i]->count() > 0) {
                cas_options->values.push_back((*given)[i]);
            }
        }
        return cas(context.globals, *cas_options);
    });
}

}  // namespace loyal::cli
