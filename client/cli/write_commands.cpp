// put, del, cas.
#include <array>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/item_text.h"
#include "client/cli/model_arguments.h"
#include "client/cli/proof_commands.h"
#include "config/limits.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

Answer<Exit> write_one(const Globals& globals, const kvstore::Operation& operation, std::string_view simple,
                       const std::string& proof_file) {
    if (const Answer<void> usable = check_proof_file(proof_file); !usable) {
        return tl::unexpected<Failure>(usable.error());
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const client::WriteResult result = connection->client->write_sync(operation);
    if (!proof_file.empty() && result.certainty == client::Certainty::done) {
        if (const Answer<void> saved = save_receipt(globals, *connection, operation, result, proof_file); !saved) {
            return tl::unexpected<Failure>(saved.error());
        }
    }
    if (const Answer<void> answer = judge(result); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    switch (globals.format) {
        case OutputFormat::json: {
            Json document = write_json(result);
            if (!result.outcome.result.empty()) {  // of a put with a time to live
                document["lease"] = kvstore::decode_count(result.outcome.result).value_or(0);
            }
            print_json(document);
            break;
        }
        case OutputFormat::table:
            print(table({{"REVISION", "SEQUENCE", "VIEW", "TIMESTAMP"},
                         {std::to_string(result.outcome.revision.value), std::to_string(result.outcome.height.value),
                          std::to_string(result.outcome.view.value), rfc3339(result.outcome.hlc.wall_ms())}}));
            break;
        case OutputFormat::simple: print(simple); break;
    }
    return Exit::done;
}

// --fence, of put, del and cas alike.
void add_fence(CLI::App* command, std::string& fence) {
    command
        ->add_option("--fence", fence,
                     "Only while no newer token of that lock was given out; exit code 1 when there was")
        ->type_name("NAME=TOKEN");
}

Answer<std::optional<kvstore::Fence>> fence_of(const std::string& text) {
    if (text.empty()) {
        return std::optional<kvstore::Fence>();
    }
    Answer<kvstore::Fence> fence = fence_argument(text);
    if (!fence) {
        return tl::unexpected<Failure>(std::move(fence.error()));
    }
    return std::optional(std::move(*fence));
}

struct PutOptions {
    std::string key;
    std::string value;
    std::string ttl;
    std::string lease;
    std::string fence;
    std::string proof;
    TextForm form = TextForm::plain;
};

Answer<kvstore::Put> put_of(const PutOptions& options) {
    kvstore::Put put;
    if (!options.ttl.empty()) {
        const Answer<std::uint64_t> ttl = ttl_argument(options.ttl);
        if (!ttl) {
            return tl::unexpected<Failure>(ttl.error());
        }
        put.ttl_ms = *ttl;
    }
    if (!options.lease.empty()) {
        const Answer<std::uint64_t> lease = number_argument(options.lease, "--lease: a lease");
        if (!lease) {
            return tl::unexpected<Failure>(lease.error());
        }
        put.lease = kvstore::LeaseId(*lease);
    }
    Answer<std::optional<kvstore::Fence>> fence = fence_of(options.fence);
    if (!fence) {
        return tl::unexpected<Failure>(std::move(fence.error()));
    }
    put.fence = std::move(*fence);
    Answer<Bytes> key = key_argument(options.key, options.form);
    if (!key) {
        return tl::unexpected<Failure>(std::move(key.error()));
    }
    put.key = std::move(*key);
    Answer<Bytes> value = value_argument(options.value, options.form);
    if (!value) {
        return tl::unexpected<Failure>(std::move(value.error()));
    }
    put.value = std::move(*value);
    return put;
}

Answer<Exit> put(const Globals& globals, const PutOptions& options) {
    Answer<kvstore::Put> operation = put_of(options);
    if (!operation) {
        return tl::unexpected<Failure>(std::move(operation.error()));
    }
    return write_one(globals, std::move(*operation), "OK\n", options.proof);
}

// ---- del

constexpr std::size_t pages_per_delete = limits::delete_keys_max / limits::range_items_max - 1;

// The end of a part of `range` that one operation may delete; nothing: all of it.
Answer<std::optional<Bytes>> end_of_part(client::Client& client, kvstore::Range range) {
    range.keys_only = true;
    for (std::size_t i = 0; i < pages_per_delete; ++i) {
        const client::ReadResult page = client.read_sync(range);
        if (const Answer<void> answer = judge(page); !answer) {
            return tl::unexpected<Failure>(answer.error());
        }
        if (!page.range.more || page.range.items.empty()) {
            return std::optional<Bytes>();
        }
        range.begin = page.range.items.back().key;
        range.begin.push_back(0);
    }
    return std::optional(std::move(range.begin));
}

// Part by part, each of them one operation. Keys that others put meanwhile are found too.
Answer<std::uint64_t> delete_in_parts(client::Client& client, kvstore::Delete erase) {
    std::uint64_t deleted = 0;
    const Bytes end = *erase.end;
    const auto failed = [&deleted](Failure failure) {
        failure.message = fmt::format("{} keys were deleted; then: {}", deleted, failure.message);
        return tl::unexpected<Failure>(std::move(failure));
    };
    for (bool last = false; !last;) {
        kvstore::Range range;
        range.begin = erase.key;
        range.end = end;
        Answer<std::optional<Bytes>> part = end_of_part(client, std::move(range));
        if (!part) {
            return failed(std::move(part.error()));
        }
        last = !part->has_value();
        erase.end = part->value_or(end);
        const client::WriteResult result = client.write_sync(erase);
        if (const Answer<void> answer = judge(result); !answer) {
            return failed(answer.error());
        }
        deleted += kvstore::decode_count(result.outcome.result).value_or(0);
        erase.key = *erase.end;
    }
    return deleted;
}

Answer<Exit> delete_range(const Globals& globals, kvstore::Delete erase) {
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const client::WriteResult result = connection->client->write_sync(erase);
    Json document = write_json(result);
    std::uint64_t deleted = 0;
    if (result.certainty == client::Certainty::done && result.outcome.status == kvstore::Status::too_large) {
        const Answer<std::uint64_t> parts = delete_in_parts(*connection->client, std::move(erase));
        if (!parts) {
            return tl::unexpected<Failure>(parts.error());
        }
        deleted = *parts;
        document = Json::object();
    } else if (const Answer<void> answer = judge(result); !answer) {
        return tl::unexpected<Failure>(answer.error());
    } else {
        deleted = kvstore::decode_count(result.outcome.result).value_or(0);
    }
    if (globals.format == OutputFormat::json) {
        document["deleted"] = deleted;
        print_json(document);
    } else {
        print(fmt::format("{}\n", deleted));
    }
    return Exit::done;
}

struct DelOptions {
    std::string key;
    std::string prefix;
    std::string to;
    std::string fence;
    bool by_prefix = false;
    bool by_range = false;
    std::string proof;
    TextForm form = TextForm::plain;
};

Answer<kvstore::Delete> delete_of(const DelOptions& options) {
    if (options.by_prefix == !options.key.empty() || (options.by_prefix && options.by_range)) {
        return refuse_input("del takes a key, --prefix P, or a key and --to B");
    }
    kvstore::Delete erase;
    Answer<std::optional<kvstore::Fence>> fence = fence_of(options.fence);
    if (!fence) {
        return tl::unexpected<Failure>(std::move(fence.error()));
    }
    erase.fence = std::move(*fence);
    Answer<Bytes> begin = options.by_prefix ? decode_text(options.prefix, options.form, "prefix")
                                            : key_argument(options.key, options.form);
    if (!begin) {
        return tl::unexpected<Failure>(std::move(begin.error()));
    }
    erase.key = std::move(*begin);
    if (options.by_prefix) {
        if (erase.key.empty()) {
            return refuse_input("an empty prefix would delete every key; `loyal cluster wipe` ends a cluster");
        }
        erase.end = end_of_prefix(erase.key);
    } else if (options.by_range) {
        Answer<Bytes> end = key_argument(options.to, options.form);
        if (!end) {
            return tl::unexpected<Failure>(std::move(end.error()));
        }
        erase.end = std::move(*end);
        if (const Answer<void> checked = check_range(erase.key, *erase.end); !checked) {
            return tl::unexpected<Failure>(checked.error());
        }
    }
    return erase;
}

Answer<Exit> del(const Globals& globals, const DelOptions& options) {
    Answer<kvstore::Delete> erase = delete_of(options);
    if (!erase) {
        return tl::unexpected<Failure>(std::move(erase.error()));
    }
    if (erase->end && !options.proof.empty()) {
        return refuse_input(
            "--proof goes with one key: a range may be many operations, each with a receipt of its own");
    }
    return erase->end ? delete_range(globals, std::move(*erase))
                      : write_one(globals, std::move(*erase), "1\n", options.proof);
}

struct CasOptions {
    std::string key;
    std::vector<std::string> values;  // as many of OLD and NEW as were given
    std::string fence;
    bool absent = false;
    bool remove = false;
    std::string proof;
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
    Answer<std::optional<kvstore::Fence>> fence = fence_of(options.fence);
    if (!fence) {
        return tl::unexpected<Failure>(std::move(fence.error()));
    }
    kvstore::CompareAndSet operation;
    operation.fence = std::move(*fence);
    operation.key = std::move(*key);
    if (!options.remove) {
        operation.value = std::move(values.back());
    }
    if (!options.absent) {
        operation.expect = std::move(values.front());
    }
    return write_one(globals, std::move(operation), "OK\n", options.proof);
}

}  // namespace

void add_write_commands(CLI::App& app, CommandContext& context) {
    auto put_options = std::make_shared<PutOptions>();
    CLI::App* put_command =
        add_command(app, "put", "Store a value under a key",
                    "loyal put greeting hello\n  loyal put photo @photo.jpg\n  date | loyal put now -\n"
                    "  loyal put --hex 00ff 01\n  loyal put -- -key- -value-\n  loyal put session me --ttl 30s\n"
                    "  loyal put job done --fence worker=7");
    put_command->add_option("key", put_options->key, "The key, 1 to 480 bytes")->required();
    put_command
        ->add_option("value", put_options->value, "The value, at most 1 MiB; - reads standard input, @FILE a file")
        ->required();
    auto* ttl = put_command
                    ->add_option("--ttl", put_options->ttl,
                                 "The key goes after this time, such as 30s or 7d, unless it is put again")
                    ->type_name("DURATION");
    put_command->add_option("--lease", put_options->lease, "The key goes when this lease ends")
        ->type_name("ID")
        ->excludes(ttl);
    add_fence(put_command, put_options->fence);
    add_proof_option(put_command, put_options->proof);
    add_text_form(put_command, put_options->form);
    when_chosen(put_command, context, [&context, put_options] { return put(context.globals, *put_options); });

    auto del_options = std::make_shared<DelOptions>();
    CLI::App* del_command = add_command(
        app, "del",
        fmt::format("Delete a key, or all keys of a prefix or range; prints how many were deleted. Up to {} "
                    "keys go at one revision, more in several parts",
                    limits::delete_keys_max),
        "loyal del greeting\n  loyal del --prefix users/\n  loyal del a --to b");
    del_command->add_option("key", del_options->key, "The key; exit code 1 when it is absent");
    CLI::Option* prefix =
        del_command->add_option("--prefix", del_options->prefix, "Delete every key that begins with this");
    CLI::Option* to = del_command->add_option("--to", del_options->to,
                                              "Delete every key from the given one up to, but not including, this one");
    add_fence(del_command, del_options->fence);
    add_proof_option(del_command, del_options->proof);
    add_text_form(del_command, del_options->form);
    when_chosen(del_command, context, [&context, del_options, prefix, to] {
        del_options->by_prefix = prefix->count() > 0;
        del_options->by_range = to->count() > 0;
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
    add_fence(cas_command, cas_options->fence);
    add_proof_option(cas_command, cas_options->proof);
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
