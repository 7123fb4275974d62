#include "client/cli/proof_commands.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/proof/collect.h"
#include "client/proof/proof_file.h"
#include "client/proof/verify_proof.h"

namespace loyal::cli {

namespace {

using ProofJson = nlohmann::ordered_json;

Failure no_receipt(const Error& error, const std::string& file) {
    return {Exit::integrity, "no_proof", fmt::format("{} was not written: {}", file, error.message)};
}

Answer<void> save(const proof::Proof& proof, const std::string& file) {
    if (const Result<void> written = proof::write_proof_file(file, proof); !written) {
        return tl::unexpected<Failure>(no_receipt(written.error(), file));
    }
    return {};
}

ProofJson proven_item(const Bytes& key, const std::optional<kvstore::Item>& item) {
    ProofJson document{{"key", json_of(key)}, {"value", nullptr}};
    if (item) {
        document["value"] = json_of(item->value);
        document["revision"] = item->revision.value;
        document["version"] = item->version;
        document["timestamp"] = json_of(item->timestamp);
        document["lease"] = nullptr;
    }
    return document;
}

// As `get` prints it.
Answer<Exit> print_item(const Globals& globals, const ProofJson& document, const std::optional<kvstore::Item>& item,
                        TextForm form) {
    if (globals.format == OutputFormat::json) {
        print_json(document);
    } else if (item && globals.format == OutputFormat::table) {
        print(table({{"KEY", "REVISION", "VERSION", "TIMESTAMP", "VALUE"},
                     {printable(item->key, form), std::to_string(item->revision.value), std::to_string(item->version),
                      rfc3339(item->timestamp.wall_ms()), printable(item->value, form)}}));
    } else if (item) {
        print(text_in_form(item->value, form));
        print(output_is_terminal() || form != TextForm::plain ? "\n" : "");
    }
    return item ? Answer<Exit>(Exit::done) : refuse(Exit::negative, "not_found", "key not found");
}

Answer<Exit> get_ordered(const Globals& globals, const Connection& connection, const Bytes& key, TextForm form,
                         const std::string& file) {
    kvstore::Range range;
    range.begin = key;
    const client::WriteResult result = connection.client->write_sync(range);
    if (const Answer<void> answer = judge(result); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    auto found = kvstore::decode_range_result(result.outcome.result);
    if (!found) {
        return tl::unexpected<Failure>(failure_of(found.error()));
    }
    if (const Answer<void> saved = save_receipt(globals, connection, range, result, file); !saved) {
        return tl::unexpected<Failure>(saved.error());
    }
    std::optional<kvstore::Item> item;
    if (!found->items.empty()) {
        item = std::move(found->items.front());
    }
    ProofJson document = proven_item(key, item);
    document["replicas"] = json_of(result.replicas);
    document["path"] = "ordered";
    document["proof"] = file;
    return print_item(globals, document, item, form);
}

Answer<Exit> get_at_checkpoint(const Globals& globals, const Connection& connection, const Bytes& key, TextForm form,
                               const std::string& file) {
    const proof::ProofVerifier verifier(connection.cluster);
    const auto proof =
        proof::collect_state_proof(*connection.client, verifier, key, globals.timeout_or(default_timeout_ms));
    if (!proof) {
        return tl::unexpected<Failure>(failure_of(proof.error()));
    }
    const auto proven = verifier.check(*proof);
    if (!proven) {
        return tl::unexpected<Failure>(failure_of(proven.error()));
    }
    if (const Answer<void> saved = save(*proof, file); !saved) {
        return tl::unexpected<Failure>(saved.error());
    }
    const auto& record = std::get<proof::ProvenRecord>(proven->what);
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
    const std::int64_t age_ms = now.count() - static_cast<std::int64_t>(record.facts.hlc.wall_ms());
    ProofJson document = proven_item(key, record.item);
    document["replicas"] = json_of(proven->signers);
    document["path"] = "checkpoint";
    document["state"] = ProofJson{{"sequence", record.facts.height.value},
                                  {"revision", record.facts.revision.value},
                                  {"timestamp", json_of(record.facts.hlc)},
                                  {"age_ms", age_ms}};
    document["proof"] = file;
    if (globals.format != OutputFormat::json) {
        print_error(
            fmt::format("note: this is the state after sequence {}, revision {}, of {}, which was {:.1f} s ago; "
                        "what was written since is not in it\n",
                        record.facts.height.value, record.facts.revision.value, rfc3339(record.facts.hlc.wall_ms()),
                        static_cast<double>(age_ms) / 1'000));
    }
    return print_item(globals, document, record.item, form);
}

}  // namespace

void add_proof_option(CLI::App* command, std::string& file) {
    command->add_option("--proof", file,
                        "Write a receipt, which a third party checks with `loyal verify`, to this new file");
}

Answer<void> check_proof_file(const std::string& file) {
    std::error_code error;
    if (!file.empty() && std::filesystem::exists(std::filesystem::symlink_status(file, error))) {
        return refuse_input(file + " exists; name a new file for the proof");
    }
    return {};
}

Answer<void> save_receipt(const Globals& globals, const Connection& connection, const kvstore::Operation& operation,
                          const client::WriteResult& result, const std::string& file) {
    const proof::ProofVerifier verifier(connection.cluster);
    const auto proof =
        proof::collect_receipt(*connection.client, verifier, operation, result, globals.timeout_or(default_timeout_ms));
    if (!proof) {
        return tl::unexpected<Failure>(no_receipt(proof.error(), file));
    }
    return save(*proof, file);
}

void add_get_proof_options(CLI::App* command, ProofFiles& files) {
    auto* receipt = command->add_option(
        "--proof", files.receipt, "Read in the order of writes, and write a receipt of the result to this new file");
    command
        ->add_option("--proof-state", files.state,
                     "Read the newest certified checkpoint, and write the proof of the value or of its absence to this "
                     "new file; says how old that is")
        ->excludes(receipt);
}

Answer<Exit> get_with_proof(const Globals& globals, const Bytes& key, TextForm form, const ProofFiles& files) {
    const std::string& file = files.receipt.empty() ? files.state : files.receipt;
    if (const Answer<void> usable = check_proof_file(file); !usable) {
        return tl::unexpected<Failure>(usable.error());
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    return files.receipt.empty() ? get_at_checkpoint(globals, *connection, key, form, file)
                                 : get_ordered(globals, *connection, key, form, file);
}

}  // namespace loyal::cli
