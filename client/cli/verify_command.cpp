// verify: checks a proof with the cluster file alone, no replica is asked.
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/proof_commands.h"
#include "client/proof/proof_file.h"
#include "client/proof/verify_proof.h"

namespace loyal::cli {

namespace {

using VerifiedJson = nlohmann::ordered_json;

struct VerifyOptions {
    std::string file;
    TextForm form = TextForm::plain;
};

template <class... Handlers>
struct OneOf : Handlers... {
    using Handlers::operator()...;
};
template <class... Handlers>
OneOf(Handlers...) -> OneOf<Handlers...>;

VerifiedJson json_of_item(const kvstore::Item& item) {
    return VerifiedJson{{"key", json_of(item.key)},
                        {"value", json_of(item.value)},
                        {"revision", item.revision.value},
                        {"version", item.version},
                        {"timestamp", json_of(item.timestamp)}};
}

VerifiedJson json_of_operation(const kvstore::Operation& operation) {
    VerifiedJson document;
    std::visit(OneOf{[&](const kvstore::Put& put) {
                         document = {{"op", "put"}, {"key", json_of(put.key)}, {"value", json_of(put.value)}};
                     },
                     [&](const kvstore::Delete& erase) {
                         document = {{"op", "del"}, {"key", json_of(erase.key)}};
                     },
                     [&](const kvstore::CompareAndSet& cas) {
                         document = {{"op", "cas"},
                                     {"key", json_of(cas.key)},
                                     {"expect", cas.expect ? json_of(*cas.expect) : VerifiedJson()},
                                     {"value", cas.value ? json_of(*cas.value) : VerifiedJson()}};
                     },
                     [&](const kvstore::Range& range) {
                         document = {{"op", "get"}, {"key", json_of(range.begin)}};
                         if (range.end) {
                             document["to"] = json_of(*range.end);
                         }
                         if (range.revision) {
                             document["as_of"] = range.revision->value;
                         }
                     },
                     [&](const auto&) {
                         document = {{"op", "other"}, {"operation", to_hex(kvstore::encode_operation(operation))}};
                     }},
               operation);
    if (const auto* put = std::get_if<kvstore::Put>(&operation); put != nullptr) {
        if (put->lease.value != 0) {
            document["lease"] = put->lease.value;
        }
        if (put->ttl_ms != 0) {
            document["ttl_ms"] = put->ttl_ms;
        }
    }
    return document;
}

std::string name_of_client(const config::Cluster& cluster, const consensus::ClientId& id) {
    for (const config::ClientEntry& client : cluster.clients) {
        if (config::client_id_of(client.public_key) == id) {
            return client.name;
        }
    }
    return {};
}

// A key whose absence is proven has null for its value.
VerifiedJson document_of_operation(const config::Cluster& cluster, const proof::ProvenOperation& proven) {
    const kvstore::Outcome& outcome = proven.outcome;
    VerifiedJson document = json_of_operation(proven.operation);
    if (const auto* range = std::get_if<kvstore::Range>(&proven.operation); range != nullptr && proven.range) {
        if (range->end || range->count_only) {
            document["items"] = VerifiedJson::array();
            for (const kvstore::Item& item : proven.range->items) {
                document["items"].push_back(json_of_item(item));
            }
            document["count"] = proven.range->count;
            document["more"] = proven.range->more;
        } else {
            const bool found = !proven.range->items.empty();
            document["value"] = found ? json_of(proven.range->items.front().value) : VerifiedJson();
            document["item"] = found ? json_of_item(proven.range->items.front()) : VerifiedJson();
        }
    }
    document["status"] = kvstore::to_string(outcome.status);
    document["revision"] = outcome.revision.value;
    document["timestamp"] = json_of(outcome.hlc);
    document["sequence"] = outcome.height.value;
    document["view"] = outcome.view.value;
    const std::string name = name_of_client(cluster, proven.client);
    document["client"] =
        VerifiedJson{{"id", to_hex(proven.client.bytes)}, {"name", name.empty() ? VerifiedJson() : VerifiedJson(name)}};
    document["block"] = proven.block.hex();
    return document;
}

VerifiedJson document_of_record(const proof::ProvenRecord& proven) {
    VerifiedJson document{{"op", "state"}, {"key", json_of(proven.key)}, {"value", nullptr}, {"item", nullptr}};
    if (proven.item) {
        document["value"] = json_of(proven.item->value);
        document["item"] = json_of_item(*proven.item);
    }
    document["revision"] = proven.facts.revision.value;
    document["timestamp"] = json_of(proven.facts.hlc);
    document["sequence"] = proven.facts.height.value;
    document["block"] = proven.facts.block.hex();
    return document;
}

std::string text_of_signers(const proof::Proven& proven) {
    std::string text;
    for (const consensus::ReplicaId signer : proven.signers) {
        text += (text.empty() ? "" : ", ") + std::to_string(signer.value);
    }
    return text;
}

// What a key held, in a line or two.
std::string text_of_item(const std::optional<kvstore::Item>& item, TextForm form) {
    if (!item) {
        return "  value      none: the key was absent\n";
    }
    return fmt::format("  value      {}\n  written    revision {}, version {}, {}\n", printable(item->value, form),
                       item->revision.value, item->version, rfc3339(item->timestamp.wall_ms()));
}

std::string text_of_operation(const config::Cluster& cluster, const proof::ProvenOperation& proven, TextForm form) {
    const auto shown = [form](const Bytes& bytes) { return printable(bytes, form); };
    std::string text;
    std::visit(
        OneOf{[&](const kvstore::Put& put) {
                  text = fmt::format("  put        {}\n  value      {}\n", shown(put.key), shown(put.value));
              },
              [&](const kvstore::Delete& erase) { text = fmt::format("  del        {}\n", shown(erase.key)); },
              [&](const kvstore::CompareAndSet& cas) {
                  text = fmt::format("  cas        {}\n  expected   {}\n  value      {}\n", shown(cas.key),
                                     cas.expect ? shown(*cas.expect) : "none", cas.value ? shown(*cas.value) : "none");
              },
              [&](const kvstore::Range& range) {
                  text = fmt::format("  get        {}{}{}\n", shown(range.begin),
                                     range.end ? " up to " + shown(*range.end) : "",
                                     range.revision ? fmt::format(" as of revision {}", range.revision->value) : "");
              },
              [&](const auto&) {
                  text = fmt::format("  operation  {}\n", to_hex(kvstore::encode_operation(proven.operation)));
              }},
        proven.operation);
    if (const auto* range = std::get_if<kvstore::Range>(&proven.operation); range != nullptr && proven.range) {
        if (!range->end && !range->count_only) {
            text += text_of_item(
                proven.range->items.empty() ? std::nullopt : std::optional(proven.range->items.front()), form);
        } else {
            text += fmt::format("  items      {}\n", proven.range->count);
            for (const kvstore::Item& item : proven.range->items) {
                text += fmt::format("    {}\t{}\n", shown(item.key), shown(item.value));
            }
        }
    }
    const std::string name = name_of_client(cluster, proven.client);
    text +=
        fmt::format("  outcome    {}\n  revision   {}\n  sequence   {}, view {}\n  time       {}\n  client     {}{}\n",
                    kvstore::to_string(proven.outcome.status), proven.outcome.revision.value,
                    proven.outcome.height.value, proven.outcome.view.value, rfc3339(proven.outcome.hlc.wall_ms()),
                    to_hex(proven.client.bytes), name.empty() ? "" : " (" + name + ")");
    return text;
}

std::string text_of_record(const proof::ProvenRecord& proven, TextForm form) {
    return fmt::format("  state of   {}\n{}  revision   {} (of the store)\n  sequence   {}\n  time       {}\n",
                       printable(proven.key, form), text_of_item(proven.item, form), proven.facts.revision.value,
                       proven.facts.height.value, rfc3339(proven.facts.hlc.wall_ms()));
}

Answer<Exit> verify(const Globals& globals, const VerifyOptions& options) {
    const Answer<config::Cluster> cluster = load_cluster_of(globals.cluster);
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const auto proof = proof::read_proof_file(options.file);
    if (!proof) {
        Failure failure = input_failure_of(proof.error());
        failure.exit = proof.error().code == Errc::corrupted ? Exit::integrity : Exit::usage;
        return tl::unexpected<Failure>(std::move(failure));
    }
    const auto proven = proof::ProofVerifier(*cluster).check(*proof);
    if (!proven) {
        return refuse(Exit::integrity, "unproven",
                      fmt::format("{} proves nothing: {}", options.file, proven.error().message));
    }
    const auto* operation = std::get_if<proof::ProvenOperation>(&proven->what);
    const auto* record = std::get_if<proof::ProvenRecord>(&proven->what);
    if (globals.format == OutputFormat::json) {
        VerifiedJson document{{"proven", true}, {"kind", operation != nullptr ? "operation" : "state"}};
        document.update(operation != nullptr ? document_of_operation(*cluster, *operation)
                                             : document_of_record(*record));
        document["cluster_id"] = cluster->cluster_id.hex();
        document["replicas"] = json_of(proven->signers);
        print_json(document);
        return Exit::done;
    }
    print(fmt::format("proven: {}\n", options.file));
    print(operation != nullptr ? text_of_operation(*cluster, *operation, options.form)
                               : text_of_record(*record, options.form));
    print(fmt::format("  signed by  replica {} of {}\n  cluster    {}\n", text_of_signers(*proven),
                      cluster->replicas.size(), cluster->cluster_id.hex()));
    return Exit::done;
}

}  // namespace

void add_verify_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<VerifyOptions>();
    CLI::App* command = add_command(
        app, "verify",
        "Checks a receipt or a proof of state with the cluster file alone: exit 0 proven, 6 not proven, 2 no proof",
        "loyal put greeting hello --proof greeting.proof\n  loyal verify greeting.proof --cluster cluster.toml");
    command->add_option("file", options->file, "A file that --proof or --proof-state wrote")->required();
    add_text_form(command, options->form);
    when_chosen(command, context, [&context, options] { return verify(context.globals, *options); });
}

}  // namespace loyal::cli
