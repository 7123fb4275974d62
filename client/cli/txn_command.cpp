// txn: comparisons, then all of one branch at one revision, or nothing.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/item_text.h"
#include "client/cli/record_format.h"
#include "client/cli/txn_script.h"

namespace loyal::cli {

namespace {

using TxnJson = nlohmann::ordered_json;

struct TxnOptions {
    std::string file;
    TextForm form = TextForm::plain;
};

const char* prompt_of(TxnScript::Part part) {
    switch (part) {
        case TxnScript::Part::compares: return "compares:\n";
        case TxnScript::Part::then: return "\nsuccess requests (get, put, del):\n";
        case TxnScript::Part::otherwise: return "\nfailure requests (get, put, del):\n";
        case TxnScript::Part::end: break;
    }
    return "\n";
}

// On a terminal the third empty line ends it; a file is read to its end, so that nothing in it is skipped.
Answer<kvstore::Txn> read_script(int descriptor, bool interactive, TextForm form) {
    LineReader lines(descriptor);
    TxnScript script(form);
    if (interactive) {
        print_error(prompt_of(script.part()));
    }
    while (true) {
        const auto line = lines.next();
        if (!line) {
            return tl::unexpected<Failure>(line.error());
        }
        if (!*line) {
            break;
        }
        const TxnScript::Part before = script.part();
        if (const Answer<void> taken = script.take(**line, lines.number()); !taken) {
            return tl::unexpected<Failure>(taken.error());
        }
        if (interactive && script.part() != before) {
            print_error(prompt_of(script.part()));
            if (script.part() == TxnScript::Part::end) {
                break;
            }
        }
    }
    if (script.txn().then.empty() && script.txn().otherwise.empty()) {
        return refuse_input("the transaction does nothing: after the comparisons come an empty line and what to do");
    }
    return std::move(script.txn());
}

Answer<kvstore::Txn> read_txn(const TxnOptions& options) {
    if (options.file.empty() || options.file == "-") {
        return read_script(STDIN_FILENO, input_is_terminal(), options.form);
    }
    const int descriptor = ::open(options.file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return refuse_input(fmt::format("{} cannot be opened: {}", options.file, std::strerror(errno)));
    }
    Answer<kvstore::Txn> txn = read_script(descriptor, false, options.form);
    ::close(descriptor);
    return txn;
}

TxnJson part_json(const kvstore::TxnPart& part) {
    if (const auto* deleted = std::get_if<kvstore::DeleteDone>(&part)) {
        return TxnJson{{"deleted", deleted->keys}};
    }
    if (const auto* range = std::get_if<kvstore::RangeResult>(&part)) {
        TxnJson items = TxnJson::array();
        for (const kvstore::Item& item : range->items) {
            items.push_back(item_json(item, false));
        }
        return TxnJson{{"items", items}, {"count", range->count}, {"more", range->more}};
    }
    return TxnJson{{"put", true}};
}

// Of which operation, so that a count is printed where a count was asked for.
void print_part(const kvstore::TxnPart& part, const kvstore::TxnOperation& request, TextForm form) {
    print("\n");
    if (const auto* deleted = std::get_if<kvstore::DeleteDone>(&part)) {
        print(fmt::format("{}\n", deleted->keys));
        return;
    }
    const auto* range = std::get_if<kvstore::RangeResult>(&part);
    if (range == nullptr) {
        print("OK\n");
        return;
    }
    const auto& asked = std::get<kvstore::Range>(request);
    if (asked.count_only) {
        print(fmt::format("{}\n", range->count));
        return;
    }
    for (const kvstore::Item& item : range->items) {
        print(item_line(item, form, asked.keys_only) + "\n");
    }
    if (range->more) {
        print_error("note: there are more keys in this range than the answer has room for\n");
    }
}

void print_result(const kvstore::TxnResult& result, const kvstore::Txn& txn, TextForm form) {
    print(result.succeeded ? "SUCCESS\n" : "FAILURE\n");
    if (!result.parts) {
        print_error("note: the answer was lost on the way and is not kept; read again what the transaction read\n");
        return;
    }
    const auto& branch = result.succeeded ? txn.then : txn.otherwise;
    for (std::size_t i = 0; i < result.parts->size() && i < branch.size(); ++i) {
        print_part((*result.parts)[i], branch[i], form);
    }
}

Answer<Exit> run_txn(const Globals& globals, const TxnOptions& options) {
    const Answer<kvstore::Txn> txn = read_txn(options);
    if (!txn) {
        return tl::unexpected<Failure>(txn.error());
    }
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const client::WriteResult written = connection->client->write_sync(*txn);
    const bool refused_there = written.certainty == client::Certainty::not_applied && !written.replicas.empty() &&
                               written.outcome.status == kvstore::Status::invalid;
    if (refused_there) {
        return refuse_input("duplicate key: within a branch no key is put twice, or put and deleted; nothing was done");
    }
    if (const Answer<void> answer = judge(written); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    const Result<kvstore::TxnResult> result = kvstore::decode_txn_result(written.outcome.result);
    if (!result) {
        return refuse(Exit::integrity, "no_agreement", "a quorum of replicas agrees on an answer that is malformed");
    }
    if (globals.format == OutputFormat::json) {
        TxnJson document = {{"succeeded", result->succeeded}};
        document.update(write_json(written));
        document["responses"] = nullptr;
        if (result->parts) {
            document["responses"] = TxnJson::array();
            for (const kvstore::TxnPart& part : *result->parts) {
                document["responses"].push_back(part_json(part));
            }
        }
        print_json(document);
    } else {
        print_result(*result, *txn, options.form);
    }
    return result->succeeded ? Exit::done : Exit::negative;
}

}  // namespace

void add_txn_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<TxnOptions>();
    CLI::App* command = add_command(
        app, "txn",
        "A transaction: comparisons, an empty line, what to do when all of them hold, an empty line, what to do "
        "otherwise; all of it at one revision, or nothing. Exit code 1 when a comparison failed",
        "loyal txn <<'EOF'\n  mod(\"key1\") > \"0\"\n\n  put key1 \"overwrote key1\"\n\n  put key1 \"created key1\"\n"
        "  put key2 \"some extra key\"\n  EOF\n\nComparisons: value(K), version(K), create(K), mod(K), lease(K) with "
        "=, "
        "!=, < or >.\nRequests: put K V [--lease ID] [--ttl D] [--fence NAME=TOKEN]; get K [END] [--prefix] [--to B]\n"
        "[--limit N] [--rev R] [--keys-only] [--count] [--reverse]; del K [END] [--prefix] [--to B].\n"
        "Quotes as in a shell: \"...\" with \\n, \\t, \\\", \\\\, \\xHH, or '...'");
    command->add_option("--file", options->file, "Read it from here instead of standard input")->type_name("F");
    add_text_form(command, options->form);
    when_chosen(command, context, [&context, options] { return run_txn(context.globals, *options); });
}

}  // namespace loyal::cli
