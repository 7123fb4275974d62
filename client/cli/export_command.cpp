// export: every key (of a prefix) in key order, as import reads it.
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/command.h"
#include "client/cli/progress.h"
#include "client/cli/record_format.h"

namespace loyal::cli {

namespace {

constexpr std::uint64_t page_timeout_ms = 30'000;  // an export that ends half way is worth little

struct ExportOptions {
    std::string prefix;
    RecordFormat format = RecordFormat::tsv;
    TextForm form = TextForm::plain;  // of the prefix
};

Answer<Exit> export_records(const Globals& globals, const ExportOptions& options) {
    const Answer<Bytes> prefix = decode_text(options.prefix, options.form, "prefix");
    if (!prefix) {
        return tl::unexpected<Failure>(prefix.error());
    }
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "default", .timeout_ms = page_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    kvstore::Range range;
    range.begin = *prefix;
    range.end = end_of_prefix(*prefix);
    ProgressLine progress;
    std::uint64_t records = 0;
    std::optional<kvstore::Revision> first;
    kvstore::Revision last;
    for (bool more = true; more;) {
        const client::ReadResult page = connection->client->read_sync(range);
        if (Answer<void> answer = judge(page); !answer) {
            Failure failure = answer.error();
            failure.message =
                fmt::format("the export is incomplete, it ends after {} records: {}", records, failure.message);
            return tl::unexpected<Failure>(std::move(failure));
        }
        for (const kvstore::Item& item : page.range.items) {
            print(write_record(item.key, item.value, options.format) + "\n");
        }
        if (const Answer<void> written = finish_output(); !written) {
            return tl::unexpected<Failure>(written.error());
        }
        records += page.range.items.size();
        first = first.value_or(page.revision);
        last = page.revision;
        more = page.range.more && !page.range.items.empty();
        if (more) {
            range.begin = page.range.items.back().key;
            range.begin.push_back(0);
        }
        if (progress.due()) {
            progress.show(fmt::format("{} records", records));
        }
    }
    progress.clear();
    if (first && *first != last) {
        print_error(fmt::format(
            "note: other writes came in between (revisions {} to {}), so this is no snapshot of one moment\n",
            first->value, last.value));
    }
    return Exit::done;
}

}  // namespace

void add_export_command(CLI::App& app, CommandContext& context) {
    auto options = std::make_shared<ExportOptions>();
    CLI::App* command = add_command(app, "export", "Print every key and value in key order, as import reads them",
                                    "loyal export > all.tsv\n  loyal export --prefix users/ --format jsonl");
    command->add_option("--prefix", options->prefix, "Only keys that begin with this");
    command->add_option("--format", options->format, "tsv (default) or jsonl")
        ->type_name("FORMAT")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, RecordFormat>{{"tsv", RecordFormat::tsv}, {"jsonl", RecordFormat::jsonl}}));
    add_text_form(command, options->form);
    when_chosen(command, context, [&context, options] { return export_records(context.globals, *options); });
}

}  // namespace loyal::cli
