#include "client/lab/report.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/lab/report/assets.h"
#include "client/lab/report/model.h"
#include "client/lab/report/sections.h"
#include "client/lab/report/story.h"
#include "client/lab/report/text.h"
#include "config/assert.h"

namespace loyal::lab {

using Json = nlohmann::ordered_json;

namespace {

// Inside <script>: no byte of it may end the element or begin a comment in it.
std::string for_script(const Json& data) {
    std::string text;
    for (const char c : data.dump(-1, ' ', false, Json::error_handler_t::replace)) {
        switch (c) {
            case '<': text += "\\u003c"; break;
            case '>': text += "\\u003e"; break;
            case '&': text += "\\u0026"; break;
            default: text.push_back(c);
        }
    }
    return text;
}

// Only this script runs in the page, whatever else might get into it (Content Security Policy, "script-src").
std::string sha256_base64(std::string_view text) {
    std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
    crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(text.data()), text.size());
    std::array<char, sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, sodium_base64_VARIANT_ORIGINAL)> coded{};
    return sodium_bin2base64(coded.data(), coded.size(), hash.data(), hash.size(), sodium_base64_VARIANT_ORIGINAL);
}

using Parts = std::vector<std::pair<std::string_view, std::string>>;

// In one pass, so that what is filled in is never looked at for places.
std::string filled(std::string_view page, const Parts& parts) {
    std::string text;
    while (!page.empty()) {
        const std::size_t at = page.find('@');
        text += page.substr(0, at);
        if (at == std::string_view::npos) {
            break;
        }
        page.remove_prefix(at + 1);
        bool known = false;
        for (const auto& [name, value] : parts) {
            if (page.starts_with(name) && page.substr(name.size()).starts_with('@')) {
                text += value;
                page.remove_prefix(name.size() + 1);
                known = true;
                break;
            }
        }
        if (!known) {
            text.push_back('@');
        }
    }
    return text;
}

std::string section(const char* name, const std::string& content) {
    return fmt::format("<section>\n<h3>{}</h3>\n{}</section>\n", name, content);
}

std::string chart(const char* kind, std::size_t run) {
    return fmt::format("<div class=\"chart {}\" data-run=\"{}\"></div>\n", kind, run);
}

bool one_paragraph(const std::vector<Run>& runs) {
    return std::all_of(runs.begin(), runs.end(),
                       [&](const Run& run) { return run.scenario.paragraph == runs.front().scenario.paragraph; });
}

std::string run_html(const Run& run, std::size_t number, bool alone, bool with_paragraph) {
    const Story story = story_of(run.record, run.scenario, run.verdict);
    std::string text = fmt::format("<article class=\"run\" id=\"run-{}\">\n", number);
    if (!alone) {
        text += fmt::format("<h2>{} {}</h2>\n", html(run.scenario.variant), badge_html(run.verdict.outcome));
    }
    if (with_paragraph && !run.scenario.paragraph.empty()) {
        text += fmt::format("<p>{}</p>\n", html(run.scenario.paragraph, 4000));
    }
    text += fmt::format("<p class=\"story\">{}</p>\n<p class=\"story\">{}</p>\n", html(story.seen, 8000),
                        html(story.because, 8000));
    text += figures_html(run);
    text += section("The run", chart("timeline", number) +
                                   "<noscript><p class=\"note\">The charts of this page are drawn by its script, which "
                                   "does not run here; the tables have the same events.</p></noscript>\n" +
                                   events_html(marks_of(run.record)));
    if (!run.record.messages.empty()) {
        text += section("The message exchange", chart("sequence", number));
    }
    text += section("Evidence", evidence_html(run.record, run.verdict));
    text += section("Findings", findings_html(run, number));
    text += section("Environment", environment_html(run));
    return text + "</article>\n";
}

// The worst of all.
Outcome overall(const std::vector<Run>& runs) {
    Outcome worst = Outcome::as_expected;
    for (const Run& run : runs) {
        const bool worse = run.verdict.outcome == Outcome::violated || worst == Outcome::as_expected;
        worst = worse ? run.verdict.outcome : worst;
    }
    return worst;
}

std::string title_of(const Scenario& scenario) {
    return !scenario.title.empty() ? scenario.title : !scenario.name.empty() ? scenario.name : "A run of the lab";
}

std::string body_html(const std::vector<Run>& runs) {
    const Run& first = runs.front();
    const bool alone = runs.size() == 1;
    std::string text = fmt::format("<header>\n<p class=\"kicker\">LoyalKV lab</p>\n<h1>{} {}</h1>\n",
                                   html(title_of(first.scenario)), badge_html(overall(runs)));
    const bool once = one_paragraph(runs);
    if (once && !first.scenario.paragraph.empty()) {
        text += fmt::format("<p class=\"lead\">{}</p>\n", html(first.scenario.paragraph, 4000));
    }
    text += "</header>\n";
    if (!alone) {
        text += comparison_html(runs);
    }
    for (std::size_t i = 0; i < runs.size(); ++i) {
        text += run_html(runs[i], i, alone, !once);
    }
    return text;
}

}  // namespace

std::string render_report(const std::vector<Run>& runs) {
    LOYAL_ASSERT(!runs.empty(), "a report is about at least one run");
    Json data = Json::array();
    for (const Run& run : runs) {
        data.push_back({{"timeline", timeline_model(run.record, run.scenario, run.verdict)},
                        {"sequence", sequence_model(run.record)},
                        {"histories", histories_model(run.record, run.verdict)}});
    }
    const std::string script(report_script);
    return filled(report_page, {{"TITLE", html(title_of(runs.front().scenario)) + " – LoyalKV lab"},
                                {"STYLE", std::string(report_style)},
                                {"SCRIPT_HASH", sha256_base64(script)},
                                {"BODY", body_html(runs)},
                                {"DATA", for_script(data)},
                                {"SCRIPT", script}});
}

std::string render_report(const Record& record, const Scenario& scenario, const Verdict& verdict) {
    return render_report({Run{scenario, record, verdict}});
}

}  // namespace loyal::lab
