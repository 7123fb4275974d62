// auth list|add-client|remove-client|grant|revoke: clients and what they may do, in the replicated state.
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/item_text.h"
#include "config/cluster.h"
#include "crypto/identity.h"

namespace loyal::cli {

namespace {

using AuthJson = nlohmann::ordered_json;

struct AuthOptions {
    std::string client;
    std::string rights;
    std::string prefix;
    std::string public_key;  // of add-client: hexadecimal
    TextForm form = TextForm::plain;
};

Answer<Connection> connect_as_admin(const Globals& globals) {
    return connect(globals, {.fallback_key = "admin", .timeout_ms = default_timeout_ms, .fail_fast = true});
}

Answer<client::WriteResult> change(client::Client& client, kvstore::Operation operation) {
    if (const Result<void> checked = kvstore::check_operation(operation); !checked) {
        return refuse_input(checked.error().message);
    }
    client::WriteResult result = client.write_sync(std::move(operation));
    if (const Answer<void> answer = judge(result); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    return result;
}

Answer<Exit> tell(const Globals& globals, const client::WriteResult& result, const std::string& text) {
    if (globals.format == OutputFormat::json) {
        print_json(write_json(result));
    } else {
        print(text + "\n");
    }
    return Exit::done;
}

std::string rights_text(std::uint8_t rights) {
    std::string text;
    for (const std::string& name : config::names_of_rights(rights)) {
        text += (text.empty() ? "" : ",") + name;
    }
    return text;
}

// "all keys", or the prefix as it is shown to a person.
std::string place_text(const Bytes& prefix, TextForm form) {
    return prefix.empty() ? "all keys" : fmt::format("keys that begin with {}", printable(prefix, form));
}

// ---- list

void print_clients(const std::vector<kvstore::ClientRecord>& clients, const Globals& globals, TextForm form) {
    if (globals.format == OutputFormat::json) {
        AuthJson document = AuthJson::array();
        for (const kvstore::ClientRecord& client : clients) {
            AuthJson grants = AuthJson::array();
            for (const kvstore::Grant& grant : client.grants) {
                grants.push_back(
                    {{"prefix", json_of(grant.prefix)}, {"rights", config::names_of_rights(grant.rights)}});
            }
            document.push_back(
                {{"name", client.name}, {"public_key", to_hex(client.key.bytes)}, {"grants", std::move(grants)}});
        }
        print_json({{"clients", std::move(document)}});
        return;
    }
    std::vector<std::vector<std::string>> rows{{"CLIENT", "RIGHTS", "BELOW", "PUBLIC KEY"}};
    for (const kvstore::ClientRecord& client : clients) {
        if (client.grants.empty()) {
            rows.push_back({client.name, "none", "", to_hex(client.key.bytes)});
        }
        for (const kvstore::Grant& grant : client.grants) {
            rows.push_back({client.name, rights_text(grant.rights),
                            grant.prefix.empty() ? "(all keys)" : printable(grant.prefix, form),
                            to_hex(client.key.bytes)});
        }
    }
    print(table(rows));
}

Answer<Exit> list_clients(const Globals& globals, TextForm form) {
    Answer<Connection> connection = connect_as_admin(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    std::vector<kvstore::ClientRecord> clients;
    kvstore::ClientQuery query;
    for (bool more = true; more;) {
        const client::ReadResult page = connection->client->read_sync(query);
        if (const Answer<void> answer = judge(page); !answer) {
            return tl::unexpected<Failure>(answer.error());
        }
        auto report = kvstore::decode_client_report(page.result);
        if (!report || (report->more && report->clients.empty())) {
            return refuse(Exit::integrity, "no_agreement",
                          "a quorum of replicas agrees on an answer that is malformed");
        }
        more = report->more;
        if (!report->clients.empty()) {
            query.after = report->clients.back().name;
        }
        clients.insert(clients.end(), report->clients.begin(), report->clients.end());
    }
    print_clients(clients, globals, form);
    return Exit::done;
}

// ---- add-client

// The one that was given, or that of a key file which is made where `--as NAME` looks for it.
Answer<crypto::PublicKey> key_for(const Connection& connection, const AuthOptions& options) {
    if (!options.public_key.empty()) {
        const Answer<Bytes> bytes = decode_text(options.public_key, TextForm::hex, "public key");
        crypto::PublicKey key;
        if (!bytes) {
            return tl::unexpected<Failure>(bytes.error());
        }
        if (bytes->size() != key.bytes.size()) {
            return refuse_input(
                fmt::format("--public-key: {} bytes; an Ed25519 key has {}, which are {} hexadecimal digits",
                            bytes->size(), key.bytes.size(), 2 * key.bytes.size()));
        }
        std::copy(bytes->begin(), bytes->end(), key.bytes.begin());
        return key;
    }
    const std::filesystem::path path = connection.cluster.client_key_path(options.client);
    if (std::filesystem::exists(path)) {
        Result<crypto::KeyFile> file = crypto::read_key_file(path);
        if (!file) {
            return tl::unexpected<Failure>(input_failure_of(file.error()));
        }
        return file->identity.public_key();
    }
    crypto::KeyFile made{"client", options.client, crypto::Identity::generate()};
    const crypto::PublicKey key = made.identity.public_key();
    if (const Result<void> written = crypto::write_key_file(path, made); !written) {
        return tl::unexpected<Failure>(input_failure_of(written.error()));
    }
    print_error(fmt::format("its key is in {}\n", path.string()));
    return key;
}

Answer<Exit> add_client(const Globals& globals, const AuthOptions& options) {
    std::uint8_t rights = 0;
    if (!options.rights.empty()) {
        const Result<std::uint8_t> parsed = config::parse_rights(options.rights);
        if (!parsed) {
            return refuse_input(fmt::format("--rights: {}", parsed.error().message));
        }
        rights = *parsed;
    }
    const Answer<Bytes> prefix = decode_text(options.prefix, options.form, "prefix");
    if (!prefix) {
        return tl::unexpected<Failure>(prefix.error());
    }
    if (!crypto::is_valid_key_name(options.client)) {
        return refuse_input(fmt::format(
            "\"{}\" is no name of a client; use letters, digits, dots, dashes and underscores", options.client));
    }
    Answer<Connection> connection = connect_as_admin(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const Answer<crypto::PublicKey> key = key_for(*connection, options);
    if (!key) {
        return tl::unexpected<Failure>(key.error());
    }
    Answer<client::WriteResult> done = change(*connection->client, kvstore::ClientAdd{options.client, *key});
    if (done && rights != 0) {
        done = change(*connection->client, kvstore::RightGrant{options.client, *prefix, rights});
    }
    if (!done) {
        return tl::unexpected<Failure>(done.error());
    }
    return tell(globals, *done,
                rights == 0 ? fmt::format("{} added, without any right yet: `loyal auth grant`", options.client)
                            : fmt::format("{} added: {} of {}", options.client, rights_text(rights),
                                          place_text(*prefix, options.form)));
}

// ---- The others

Answer<Exit> remove_client(const Globals& globals, const AuthOptions& options) {
    Answer<Connection> connection = connect_as_admin(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const Answer<client::WriteResult> done = change(*connection->client, kvstore::ClientRemove{options.client});
    return done ? tell(globals, *done, fmt::format("{} removed", options.client))
                : Answer<Exit>(tl::unexpected<Failure>(done.error()));
}

template <class Right>
Answer<Exit> change_right(const Globals& globals, const AuthOptions& options, std::string_view verb) {
    const Result<std::uint8_t> rights = config::parse_rights(options.rights);
    if (!rights) {
        return refuse_input(rights.error().message);
    }
    const Answer<Bytes> prefix = decode_text(options.prefix, options.form, "prefix");
    if (!prefix) {
        return tl::unexpected<Failure>(prefix.error());
    }
    Answer<Connection> connection = connect_as_admin(globals);
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const Answer<client::WriteResult> done = change(*connection->client, Right{options.client, *prefix, *rights});
    return done ? tell(globals, *done,
                       fmt::format("{} {}: {} of {}", options.client, verb, rights_text(*rights),
                                   place_text(*prefix, options.form)))
                : Answer<Exit>(tl::unexpected<Failure>(done.error()));
}

void add_prefix(CLI::App* command, AuthOptions& options) {
    command->add_option("--prefix", options.prefix, "Only keys and locks whose names begin with this (default: all)");
    add_text_form(command, options.form);
}

void add_rights_command(CLI::App& auth, CommandContext& context, const std::string& name, const std::string& text,
                        Answer<Exit> (*action)(const Globals&, const AuthOptions&)) {
    auto options = std::make_shared<AuthOptions>();
    CLI::App* command = add_command(
        auth, name, text, fmt::format("loyal auth {0} alice read,write --prefix alice/\n  loyal auth {0} bob r", name));
    command->add_option("client", options->client, "Its name")->required();
    command->add_option("rights", options->rights, "Some of read, write and admin, or of r, w and a")->required();
    add_prefix(command, *options);
    when_chosen(command, context, [&context, options, action] { return action(context.globals, *options); });
}

}  // namespace

void add_auth_commands(CLI::App& app, CommandContext& context) {
    CLI::App* auth = add_command(app, "auth", "Clients, and what they may do below which prefixes of keys",
                                 "loyal auth list\n  loyal auth add-client alice --rights rw --prefix alice/");
    auth->require_subcommand(1);

    auto form = std::make_shared<TextForm>(TextForm::plain);
    CLI::App* list = add_command(*auth, "list", "All clients, their keys and rights", "loyal auth list");
    add_text_form(list, *form);
    when_chosen(list, context, [&context, form] { return list_clients(context.globals, *form); });

    auto added = std::make_shared<AuthOptions>();
    CLI::App* add = add_command(*auth, "add-client",
                                "Make a client known; without --public-key its key file is made beside the others",
                                "loyal auth add-client alice --rights rw --prefix alice/\n"
                                "  loyal auth add-client partner --public-key 1f0e...");
    add->add_option("client", added->client, "Its name")->required();
    add->add_option("--public-key", added->public_key, "Its Ed25519 key, in hexadecimal, when its holder made it");
    add->add_option("--rights", added->rights, "Also grant these: some of read, write and admin, or of r, w and a");
    add_prefix(add, *added);
    when_chosen(add, context, [&context, added] { return add_client(context.globals, *added); });

    auto removed = std::make_shared<AuthOptions>();
    CLI::App* remove = add_command(*auth, "remove-client", "Turn a client away from now on; what it stored stays",
                                   "loyal auth remove-client alice");
    remove->add_option("client", removed->client, "Its name")->required();
    when_chosen(remove, context, [&context, removed] { return remove_client(context.globals, *removed); });

    add_rights_command(*auth, context, "grant", "Give rights to a client",
                       [](const Globals& globals, const AuthOptions& o) {
                           return change_right<kvstore::RightGrant>(globals, o, "may");
                       });
    add_rights_command(*auth, context, "revoke", "Take rights that were given below that prefix",
                       [](const Globals& globals, const AuthOptions& o) {
                           return change_right<kvstore::RightRevoke>(globals, o, "may no longer");
                       });
}

}  // namespace loyal::cli
